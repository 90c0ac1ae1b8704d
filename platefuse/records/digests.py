"""Digests that tell whether files or values have changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from platefuse.storage.once import read_once
from platefuse.storage.stray import is_stray


@read_once
def digest_tree(path: Path) -> str:
    """SHA-256 of names and contents of all files below a folder, without stray files."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and not is_stray(p.name)):
        total.update(os.fsencode(file.relative_to(path)) + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def digest_json(content: object) -> str:
    """SHA-256 of a value that can be written as JSON; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
