from __future__ import annotations

import subprocess
import sys

import pytest

WHERE_A_BLOCK_LIES = """
import sys
from threading import Thread
from platefuse.memory import reuse_blocks
if sys.argv[1] == "reuse":
    reuse_blocks()
import numpy as np
blocks = []
def allocate():
    blocks.append(np.empty(2**24, np.uint8))
threads = [Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
heap = [line.split()[0] for line in open("/proc/self/maps") if line.rstrip().endswith("[heap]")]
low, high = (int(edge, 16) for edge in heap[0].split("-"))
print(sum(low <= block.ctypes.data < high for block in blocks))
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the heap is found in Linux's /proc"
)
@pytest.mark.parametrize(("how", "in_heap"), [("reuse", 4), ("leave", 0)])
def test_blocks_of_all_threads_come_from_the_one_heap(how: str, in_heap: int) -> None:
    command = [sys.executable, "-c", WHERE_A_BLOCK_LIES, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == in_heap
