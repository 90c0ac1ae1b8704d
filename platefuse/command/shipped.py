"""Where the workflow is: in a clone, or in the installed package, whose wheel ships it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from platefuse.command.caches import user_home
from platefuse.errors import ConfigError

PACKAGED = "_workflow"
"""Folder of the workflow in an installed package; setup.py puts it there."""


@dataclass(frozen=True)
class Workflow:
    """The folder of the workflow.

    Attributes
    ----------
    folder : Path
        It holds the Snakefile, the rules and the profiles.
    """

    folder: Path

    @property
    def snakefile(self) -> Path:
        """The Snakefile."""
        return self.folder / "Snakefile"

    @property
    def default_profile(self) -> Path:
        """The profile of every run."""
        return self.folder / "profiles" / "default"

    def profile(self, name: str) -> str:
        """The profile of a name: the user's own if there is one, else the one that is shipped.

        Snakemake looks for its own in the working directory and in the two folders for configs.
        """
        shipped = self.folder / "profiles" / name
        is_name = Path(name).name == name
        if is_name and shipped.is_dir() and not any(p.exists() for p in _own_profiles(name)):
            return str(shipped)
        return name


def find_workflow(package: Path) -> Workflow:
    """The workflow of an installed package, or of a clone.

    Parameters
    ----------
    package : Path
        Folder of the package.

    Raises
    ------
    ConfigError
        If there is none.
    """
    folders = (package / PACKAGED, package.parent)
    for folder in folders:
        if (folder / "Snakefile").is_file():
            return Workflow(folder)
    raise ConfigError(
        f"The workflow is missing: expected a Snakefile in {folders[0]} (an installed package) or "
        f"in {folders[1]} (a clone). Install platefuse again."
    )


def _own_profiles(name: str) -> tuple[Path, ...]:
    home = user_home()
    own = os.environ.get("XDG_CONFIG_HOME") or (home and home / ".config")
    site = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)[0]
    folders = [Path(base, "snakemake", name) for base in (own, site) if base is not None]
    return Path(name), *folders
