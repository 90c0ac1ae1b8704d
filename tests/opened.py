"""How often files are opened."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_opened: list[str] | None = None
_hooked: list[bool] = []


def _note(event: str, args: tuple[object, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(args[0], str | os.PathLike):
        _opened.append(os.fspath(args[0]))


@contextmanager
def files_opened(below: Path) -> Iterator[Counter[str]]:
    """How often each file below a folder is opened, also one that is not there."""
    global _opened
    if not _hooked:  # a hook cannot be removed again
        sys.addaudithook(_note)
        _hooked.append(True)
    counts: Counter[str] = Counter()
    _opened = []
    try:
        yield counts
    finally:
        counts.update(path for path in _opened if path.startswith(f"{below}/"))
        _opened = None
