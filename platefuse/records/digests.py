"""Digests that tell whether files or values have changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from platefuse.storage.files import entries, read_bytes
from platefuse.storage.once import read_once
from platefuse.storage.stray import is_stray


@read_once
def digest_tree(path: Path) -> str:
    """SHA-256 of names and contents of all files below a folder, without stray files."""
    total = hashlib.sha256()
    for parts, file in sorted(_files(os.fspath(path))):
        total.update(os.fsencode("/".join(parts)) + b"\0")
        total.update(hashlib.sha256(read_bytes(file)).digest())
    return total.hexdigest()


def _files(folder: str, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """All files below a folder: parts of their paths in it, and their paths."""
    for entry in entries(folder):
        parts = (*above, entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, parts)
        elif entry.is_file() and not is_stray(entry.name):
            yield parts, entry.path


def digest_json(content: object) -> str:
    """SHA-256 of a value that can be written as JSON; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
