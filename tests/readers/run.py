"""Let the newest releases of other programs read plates that platefuse has fused.

``make readers`` calls this: plates are written to a temporary folder, with what must be found in
them, and each group of packages that fit together reads them in an environment of its own under
``.venv-readers``, which is made anew on the first run of a day. A group that cannot be installed is
skipped, with the reason.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.readers.expected import FOLDER

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".venv-readers"


@dataclass(frozen=True)
class Group:
    """Packages that share an environment.

    Attributes
    ----------
    name : str
        Name of the environment.
    packages : tuple of str
        What pip is asked for, without versions: the newest.
    shown : tuple of str
        The packages whose versions are reported.
    tests : tuple of str
        The test modules.
    """

    name: str
    packages: tuple[str, ...]
    shown: tuple[str, ...]
    tests: tuple[str, ...]


GROUPS = (
    Group("ngio", ("ngio",), ("ngio", "zarr"), ("test_ngio.py",)),
    Group(
        "napari",
        ("napari-ome-zarr", "ome-zarr-models"),
        ("napari-ome-zarr", "ome-zarr", "ome-zarr-models", "zarr"),
        ("test_napari.py", "test_ome_zarr.py"),
    ),
    Group(
        "spatial",
        ("spatialdata", "multiview-stitcher", "anndata"),
        ("spatialdata", "multiview-stitcher", "anndata", "zarr"),
        ("test_spatialdata.py", "test_multiview_stitcher.py"),
    ),
)


def run(command: Sequence[str | Path], **variables: str) -> int:
    """Run a command in the clone, without the settings of this Python, and return its exit code."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment = {**own, **variables}
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=environment, check=False
    ).returncode


def environment(group: Group, interpreter: str) -> Path | str:
    """The Python of a group's environment with the newest releases; or why there is none."""
    folder = ENVIRONMENTS / group.name
    python, ready = folder / "bin" / "python", folder / f".ready-{datetime.date.today()}"
    if ready.exists():
        return python
    print(f"Setting up {folder.relative_to(ROOT)} with {', '.join(group.packages)}.", flush=True)
    made = run([interpreter, "-m", "venv", "--clear", folder])
    if made:
        return f"{interpreter} cannot make an environment"
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    command = [str(part) for part in (*install, "pytest", *group.packages)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return (errors or ["pip failed without a message"])[-1]
    ready.touch()
    return python


def read(group: Group, python: Path, plates: Path, arguments: Sequence[str]) -> int:
    """Run the tests of a group; returns pytest's exit code."""
    versions = (
        "from importlib.metadata import version; import sys; "
        "print('Python', sys.version.split()[0], *(f'{p} {version(p)}' for p in sys.argv[1:]))"
    )
    run([python, "-c", versions, *group.shown])
    sys.stdout.flush()
    # The packages do not heed the project's settings of pytest, of which warnings are errors.
    options = ("-c", os.devnull, "--rootdir", ROOT, "--noconftest", "-p", "no:cacheprovider")
    tests = [HERE / name for name in group.tests]
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        *options,
        "--import-mode=importlib",
        "-q",
        "-rs",
    ]
    return run(
        [*command, "-W", "ignore", *arguments, *tests],
        **{"PYTHONPATH": str(ROOT), FOLDER: str(plates)},
    )


def main(interpreter: str, arguments: Sequence[str]) -> int:
    """Write the plates and let all groups read them; returns an exit code."""
    skipped, failed = {}, []
    with tempfile.TemporaryDirectory() as folder:
        writer = [sys.executable, "-m", "tests.readers.make_plates", folder]
        if run(writer, PYTHONPATH=str(ROOT)):
            return 1
        for group in GROUPS:
            python = environment(group, interpreter)
            if isinstance(python, str):
                skipped[group.name] = python
            elif read(group, python, Path(folder), arguments):
                failed.append(group.name)
    for name, reason in skipped.items():
        print(f"SKIPPED {name}: not installed: {reason}")
    if failed:
        print(f"FAILED {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
