from __future__ import annotations

import subprocess
import sys

import pytest

WHAT_STAYS_OF_A_FREED_BLOCK = """
import sys
from threading import Thread
from platefuse.memory import reuse_blocks
if sys.argv[1] == "reuse":
    reuse_blocks()
import numpy as np
def resident():
    line = next(l for l in open("/proc/self/status") if l.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
def fill():
    np.ones(2**24, np.uint8)
before = resident()
thread = Thread(target=fill)
thread.start()
thread.join()
print(resident() - before)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="resident memory is read from Linux's /proc"
)
@pytest.mark.parametrize("how", ["reuse", "leave"])
def test_a_freed_block_stays_for_the_next_one(how: str) -> None:
    command = [sys.executable, "-c", WHAT_STAYS_OF_A_FREED_BLOCK, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 2**23) == (how == "reuse")
