"""Digests that tell whether files or values have changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from platefuse.storage.files import read_bytes
from platefuse.storage.once import read_once
from platefuse.storage.trees import in_order, walk_files


@read_once
def digest_tree(path: Path) -> str:
    """SHA-256 of names and contents of all files below a folder, without stray files."""
    total = hashlib.sha256()
    for name, entry in sorted(walk_files(path), key=in_order):
        if entry.is_file():
            total.update(os.fsencode(name) + b"\0")
            total.update(hashlib.sha256(read_bytes(entry.path)).digest())
    return total.hexdigest()


def digest_json(content: object) -> str:
    """SHA-256 of a value that can be written as JSON; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
