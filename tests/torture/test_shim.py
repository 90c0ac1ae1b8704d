"""The shim sees every call that changes files: as many as strace sees."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.torture.bench import Bench, copy_folder, plate_folder
from tests.torture.shim import Disturbance, read_log
from tests.torture.steps import PLATE, SPEC, do_step
from tests.torture.zygote import ROOT, Zygote

# System calls by the names that the shim gives them.
NAMES = {
    "open": "open", "openat": "open", "creat": "open", "write": "write", "pwrite64": "pwrite",
    "writev": "writev", "pwritev": "pwritev", "pwritev2": "pwritev2", "rename": "rename",
    "renameat": "rename", "renameat2": "rename", "unlink": "unlink", "unlinkat": "unlink",
    "rmdir": "rmdir", "mkdir": "mkdir", "mkdirat": "mkdir", "link": "link", "linkat": "link",
    "symlink": "symlink", "symlinkat": "symlink", "truncate": "truncate",
    "ftruncate": "ftruncate", "fallocate": "fallocate", "copy_file_range": "copy_file_range",
    "sendfile": "sendfile", "chmod": "chmod", "fchmod": "fchmod", "fchmodat": "chmod",
    "chown": "chown", "fchown": "fchown", "lchown": "chown", "fchownat": "chown",
    "utimensat": "utime", "utimes": "utime", "setxattr": "setxattr", "fsetxattr": "setxattr",
    "fsync": "fsync", "fdatasync": "fdatasync", "syncfs": "syncfs", "sync": "sync",
    "sync_file_range": "sync_file_range",
}  # fmt: skip
SCRIPT = """
import sys
from pathlib import Path
from tests.torture.shim import Disturbance, Shim
from tests.torture.steps import do_step
import os
library, root, log, *steps = sys.argv[1:]
shim = Shim(Path(library))
shim.arm(Path(root), Disturbance(), os.open(log, os.O_WRONLY | os.O_CREAT, 0o600))
print([do_step(Path(root), step) for step in steps])
"""


@pytest.mark.strace
@pytest.mark.slow
def test_no_call_escapes_the_shim(zygote: Zygote, bench_folder: Path, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    copy_folder(plate_folder(bench_folder, SPEC), tmp_path / "work")
    log, trace = tmp_path / "calls", tmp_path / "trace"
    library = bench_folder / "shim.so"
    known = ",".join(f"?{name}" for name in NAMES)
    done = subprocess.run(
        ["strace", "-f", "-y", "-qq", "-s0", "-o", trace, "-e", f"trace={known}",
         "-E", f"LD_PRELOAD={library}", sys.executable, "-B", "-c", SCRIPT,
         library, tmp_path / "work", log, "call 1", "fuse"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "['', '']", done.stdout
    kept = {"write", "pwrite", "sendfile", "rename", "unlink", "mkdir", "link", "utime", "open"}
    mine = Counter("rename" if c.name == "exchange" else c.name for c in read_log(log))
    theirs = _changing(trace, f"{tmp_path}/work")
    # A flush is not made, but numbered; strace sees none.
    assert {name: mine[name] for name in kept} == {name: theirs[name] for name in kept}
    assert not theirs.keys() - mine.keys()


def _changing(trace: Path, root: str) -> Counter[str]:
    """The calls of a trace that change what is below a folder, by the shim's names."""
    found: Counter[str] = Counter()
    for line in trace.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if match is None or root not in match[2]:
            continue
        name = NAMES[match[1]]
        if name == "open" and not re.search("O_CREAT|O_TRUNC|O_WRONLY|O_RDWR", match[2]):
            continue
        if name == "unlink" and "AT_REMOVEDIR" in match[2]:
            name = "rmdir"
        found[name] += 1
    return found


@pytest.mark.parametrize("bench", ["receipt"], indirect=True)
def test_a_write_is_made_by_half(bench: Bench) -> None:
    file = bench.root / "results" / "p" / "B" / "03"
    for action in ("before", "inside", "after"):
        bench.restore()
        whole = (file / "step.json").stat().st_size
        write = next(c.number for c in bench.calls if c.name == "write")
        outcome = bench.zygote.do(bench.root, bench.scenario.attack, Disturbance(action, write))
        assert outcome.killed
        (temporary,) = file.glob(".*")
        expected = {"before": 0, "inside": whole // 2, "after": whole}[action]
        assert temporary.stat().st_size == expected


@pytest.mark.parametrize("bench", ["receipt"], indirect=True)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "EACCES", "EROFS"])
def test_a_call_fails_with_the_error(bench: Bench, error: str) -> None:
    bench.restore()
    what = Disturbance("fail", bench.calls[-1].number, error)
    outcome = bench.zygote.do(bench.root, bench.scenario.attack, what)
    assert f"[Errno {getattr(errno, error)}]" in outcome.error


def test_a_step_that_ends_by_a_mistake_says_so(tmp_path: Path) -> None:
    (tmp_path / PLATE).mkdir()
    assert do_step(tmp_path, "finish").startswith("PlateError")
    assert do_step(tmp_path, "swap").startswith("unexpected TypeError")
