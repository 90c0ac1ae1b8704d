"""Test that `platefuse.fuse` can replace multiview-stitcher's: ``python -m benchmarks.interop``.

For each version of multiview-stitcher that `fuse` follows, it makes an environment with this
version and the requirements of its tests, and runs there

1. multiview-stitcher's own tests of fusion, with its `fuse` replaced by ours,
2. the same tests, with its own fusion function passed to ours as a plug-in,
3. comparisons of both functions on the same input (``test_same_pixels.py``).

Tests of multiview-stitcher that test its internals are named, with reasons, in ``replaced.py``.
Arguments are passed to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.envs import EnvironmentFailedError, Peer

HERE = Path(__file__).parent
TESTED = [Peer("multiview-stitcher-tests", version) for version in ("0.1.48", "0.1.62")]
THEIR_TESTS = [f"multiview_stitcher._tests.{name}" for name in ("test_fusion", "test_weights")]
OURS = ["-p", "benchmarks.interop.replaced"]
RUNS = (
    ("its tests, fuse replaced", [*OURS, "--pyargs", *THEIR_TESTS]),
    (
        "its tests, fuse replaced, its fusion function as a plug-in",
        [*OURS, "--their-fusion-func", "--pyargs", *THEIR_TESTS],
    ),
    ("both functions on the same input", [str(HERE / "test_same_pixels.py")]),
)


def main(arguments: Sequence[str]) -> int:
    """Run all tests; return the number of runs in which a test failed."""
    return sum(_failed_runs(peer, arguments) for peer in TESTED)


def _failed_runs(peer: Peer, arguments: Sequence[str]) -> int:
    try:
        python = peer.ensure()
    except EnvironmentFailedError as error:
        print(f"\n{peer.name}: its environment cannot be made: {error}", flush=True)
        return len(RUNS)
    pytest = [str(python), "-m", "pytest", "-c", str(HERE / "pytest.ini")]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    failed = 0
    for title, what in RUNS:
        print(f"\n{peer.name}: {title}", flush=True)
        done = subprocess.run([*pytest, *what, *arguments], env=environment, cwd=HERE, check=False)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
