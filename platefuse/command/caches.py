"""What Snakemake needs of a user: a name, a home, and a folder for its cache.

Services and containers often have a home that does not exist or is read-only, or none, and run with
the number of a user whom the system does not know.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path

_VARIABLE = "XDG_CACHE_HOME"


def user_home() -> Path | None:
    """The user's home; None if nobody knows it."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    # An empty variable is read as "/".
    return home if home.is_absolute() and os.environ.get("HOME") != "" else None


def user_variables(folder: Path) -> dict[str, str]:
    """Environment variables with which Snakemake finds the user's name, home and cache.

    Snakemake looks for them before it reads anything, and stops if the system knows neither name
    nor home, or if it cannot make the folder of its cache.

    Parameters
    ----------
    folder : Path
        Folder in which Snakemake works. It keeps its own files there in ``.snakemake``.

    Returns
    -------
    dict of str to str
        Nothing if the usual ones can be used.
    """
    own, home = folder.absolute() / ".snakemake", user_home()
    found = {} if home is not None else {"HOME": str(own)}
    if not _has_name():
        found["USER"] = str(os.getuid())
    base = os.environ.get(_VARIABLE) or (home and home / ".cache")
    if base is None or not _can_be_used(Path(base)):
        found[_VARIABLE] = str(own / "cache")
    return found


def _has_name() -> bool:
    """Whether a variable or the system tells the user's name."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError: Python 3.13 and newer
        return False
    return True


def _can_be_used(base: Path) -> bool:
    """Whether the usual folder is there, or can be made, and can be written to."""
    usual = base / "snakemake"
    try:
        usual.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(usual, os.W_OK | os.X_OK)
