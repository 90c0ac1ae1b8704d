from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from platefuse.storage.memory import collect_rarely

WHAT_STAYS_OF_A_FREED_BLOCK = """
import sys
from threading import Thread
from platefuse.storage.memory import reuse_blocks
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


WHAT_STAYS_OF_A_HOLE = """
import sys
from platefuse.storage.memory import MemoryTrimmer
from platefuse.storage.memory import reuse_blocks
reuse_blocks()
import numpy as np
def resident():
    line = next(l for l in open("/proc/self/status") if l.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
turnover = MemoryTrimmer()
block, behind = np.ones(2**24, np.uint8), np.ones(2**20, np.uint8)
before = resident()
del block
turnover.add(2**28)
early = resident()
turnover.add(2**28)
print(before - early, before - resident())
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="resident memory is read from Linux's /proc"
)
def test_a_hole_in_the_heap_is_given_back_when_much_has_gone_through() -> None:
    command = [sys.executable, "-c", WHAT_STAYS_OF_A_HOLE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    early, late = map(int, done.stdout.split())
    assert early < 2**22
    assert late > 2**23


def test_garbage_is_collected_rarely_and_in_the_end() -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)  # another test of this process may have made it rare
        collect_rarely()
        assert gc.isenabled()
        assert gc.get_threshold()[0] > 700
    finally:
        gc.set_threshold(*before)
