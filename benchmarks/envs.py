"""Virtual environments of the peers, made once from pinned requirements and kept between runs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
HOME = HERE / ".envs"


class EnvironmentFailedError(Exception):
    """The environment of a peer cannot be made; the message gives the reason."""


@dataclass(frozen=True)
class Peer:
    """A peer: one version of another program.

    Attributes
    ----------
    package, version : str
        Name and version in the package index.
    """

    package: str
    version: str

    @property
    def name(self) -> str:
        """Name in the report."""
        return f"{self.package} {self.version}"

    @property
    def requirements(self) -> Path:
        """Path of the pinned requirements of everything that is installed."""
        return HERE / "peers" / f"{self.package}-{self.version}.txt"

    @property
    def folder(self) -> Path:
        """The environment's folder."""
        return HOME / f"{self.package}-{self.version}"

    def ensure(self) -> Path:
        """Return the path of the interpreter; make the environment if it does not exist.

        Raises
        ------
        EnvironmentFailedError
            If it cannot be made.
        """
        python = self.folder / "bin" / "python"
        stamp = self.folder / f"ready-{self._fingerprint()}"
        if stamp.exists():
            return python
        print(f"making the environment of {self.name}", file=sys.stderr, flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(self.folder)])
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        _run([str(python), *install, "--requirement", str(self.requirements)])
        stamp.touch()
        return python

    def _fingerprint(self) -> str:
        made_from = f"{sys.version_info[:2]} {HOME} {self.requirements.read_text()}"
        return hashlib.sha256(made_from.encode()).hexdigest()[:12]


FRACTAL = tuple(Peer("fractal-tasks-core", version) for version in ("1.6.0", "2.1.0"))
STITCHER = tuple(Peer("multiview-stitcher", version) for version in ("0.1.48", "0.1.62"))
ALIGNER = Peer("ashlar", "1.20.0")
MIST = Peer("m2stitch", "0.7.2")


def _run(command: list[str]) -> None:
    gently = ["nice", "-n", "10"] if shutil.which("nice") else []
    done = subprocess.run([*gently, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise EnvironmentFailedError(said[-1] if said else f"exit code {done.returncode}")
