"""Run the writers that have environments of their own, and keep what they write in an archive.

``make writers`` calls this: for each set of requirements an environment is made with the versions
of its lock, or with the newest ones of today if ``--newest`` is given, which also renews the lock.
The tests read the archive, so that they need no package index and no second environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ARCHIVE = HERE.parent / "fixtures" / "plates_of_writers.tar.xz"
MODIFIED_S = 1_790_000_000


@dataclass(frozen=True)
class Writer:
    """A program that writes plates.

    Attributes
    ----------
    name : str
        Name of its lock.
    wanted : tuple of str
        What pip is asked for.
    script : str
        The module that writes the plates.
    """

    name: str
    wanted: tuple[str, ...]
    script: str


# The newest release of iohub writes 0.4 only, the next one 0.5 too.
WRITERS = (
    Writer("ngio", ("ngio",), "write_ngio"),
    Writer("iohub", ("iohub",), "write_iohub"),
    Writer("iohub-next", ("--pre", "iohub"), "write_iohub"),
    Writer("acquire-zarr", ("acquire-zarr", "numpy"), "write_acquire_zarr"),
)


def run(*command: str | Path) -> str:
    """Run a command in the clone and return what it prints."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def write(writer: Writer, output: Path, newest: bool) -> None:
    """Make the environment of a writer, and let it write its plates."""
    lock = HERE / f"{writer.name}.txt"
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", folder)
        python = Path(folder) / "bin" / "python"
        install = (python, "-m", "pip", "install", "--quiet", "--no-compile")
        if newest or not lock.exists():
            run(*install, *writer.wanted)
            python_version = ".".join(map(str, sys.version_info[:2]))
            header = (
                f"# What `pip install {' '.join(writer.wanted)}` brought, "
                f"for Python {python_version} on Linux.\n"
            )
            # Without the project itself, whose metadata may lie in the clone.
            frozen = run(python, "-m", "pip", "freeze", "--exclude", "platefuse")
            lock.write_text(header + frozen)
        else:
            run(*install, "--no-deps", "--requirement", lock)
        run(python, "-m", f"tests.writers.{writer.script}", output)


def pack(plates: Path) -> None:
    """Write the archive, the same bytes for the same plates."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = MODIFIED_S
        return entry

    with tarfile.open(ARCHIVE, "w:xz", preset=9) as tar:
        for path in sorted(plates.iterdir()):
            tar.add(path, path.name, filter=anonymous)


def main(newest: bool) -> None:
    """Run all writers and write the archive."""
    with tempfile.TemporaryDirectory() as folder:
        for writer in WRITERS:
            write(writer, Path(folder), newest)
        pack(Path(folder))


if __name__ == "__main__":
    main("--newest" in sys.argv[1:])
