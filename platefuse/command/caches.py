"""Where Snakemake keeps its cache: the user's home, or, if that cannot be used, the work folder."""

from __future__ import annotations

import os
from pathlib import Path

_VARIABLE = "XDG_CACHE_HOME"


def user_home() -> Path | None:
    """The user's home; None if nobody knows it.

    A container can run with the number of any user, whom the system in it need not know.
    """
    try:
        home = Path.home()
    except RuntimeError:
        return None
    # An empty variable is read as "/".
    return home if home.is_absolute() and os.environ.get("HOME") != "" else None


def cache_variables(folder: Path) -> dict[str, str]:
    """Environment variables with which Snakemake finds a home, and a folder for its cache.

    Snakemake looks for both before it reads anything, and stops if there is no home, or if it
    cannot make this folder. Services and containers often have a home that does not exist or is
    read-only, or none.

    Parameters
    ----------
    folder : Path
        Folder in which Snakemake works. It keeps its own files there in ``.snakemake``.

    Returns
    -------
    dict of str to str
        Nothing if the usual folders can be used.
    """
    own, home = folder.absolute() / ".snakemake", user_home()
    found = {} if home is not None else {"HOME": str(own)}
    base = os.environ.get(_VARIABLE) or (home and home / ".cache")
    if base is None or not _can_be_used(Path(base)):
        found[_VARIABLE] = str(own / "cache")
    return found


def _can_be_used(base: Path) -> bool:
    """Whether the usual folder is there, or can be made, and can be written to."""
    usual = base / "snakemake"
    try:
        usual.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(usual, os.W_OK | os.X_OK)
