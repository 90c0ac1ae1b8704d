"""Where Snakemake keeps its cache: the user's home, or, if that cannot be used, the work folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = "XDG_CACHE_HOME"


def cache_variables(folder: Path) -> dict[str, str]:
    """Environment variables with which Snakemake finds a folder for its cache.

    Snakemake makes this folder before it reads anything, and stops if it cannot. Services and
    containers often have a home that does not exist or is read-only.

    Parameters
    ----------
    folder : Path
        Folder in which Snakemake works. It keeps its own files there in ``.snakemake``.

    Returns
    -------
    dict of str to str
        Nothing if the usual folder can be used.
    """
    if _can_be_used(os.environ):
        return {}
    return {_VARIABLE: str(folder.absolute() / ".snakemake" / "cache")}


def _can_be_used(environment: Mapping[str, str]) -> bool:
    """Whether the usual folder is there, or can be made, and can be written to."""
    try:
        base = environment.get(_VARIABLE) or Path.home() / ".cache"
        usual = Path(base, "snakemake")
        usual.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: nobody knows the user's home
        return False
    return os.access(usual, os.W_OK | os.X_OK)
