"""Whole folders as values: names, modes and bytes, to be compared."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

Tree = Mapping[str, str]
"""For each path below a folder: its kind, its mode and a digest of its bytes."""

# What no two runs have in common. Digits of a time are not counted, nor are its bytes.
_TIMES = re.compile(rb'"(time|seconds|changed_ns|begun_ns|newest_ns)": ("[^"]*"|[\d.e+-]+|null)')
_RANDOM = re.compile(r"(?<![0-9a-f])[0-9a-f]{8,}(?![0-9a-f])")


def read_tree(folder: Path) -> Tree:
    """Everything below a folder; nothing if it does not exist."""
    return dict(sorted(_entries(folder, len(str(folder)) + 1)))


def _entries(folder: Path, cut: int) -> Iterator[tuple[str, str]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            path, mode = Path(entry.path), entry.stat(follow_symlinks=False).st_mode & 0o7777
            if entry.is_dir(follow_symlinks=False):
                yield entry.path[cut:], f"folder {mode:o}"
                yield from _entries(path, cut)
            elif entry.is_file(follow_symlinks=False):
                digest = hashlib.blake2b(_without_times(path.read_bytes())).hexdigest()[:16]
                yield entry.path[cut:], f"file {mode:o} {digest}"
            else:
                yield entry.path[cut:], "neither file nor folder"


def _without_times(content: bytes) -> bytes:
    return _TIMES.sub(rb'"\1": 0', content) if content.startswith(b"{") else content


def below(tree: Tree, path: str) -> Tree:
    """The part of a tree below one of its folders."""
    start = f"{path}/"
    return {name[len(start) :]: what for name, what in tree.items() if name.startswith(start)}


def outside(tree: Tree, paths: tuple[str, ...]) -> Tree:
    """The files of a tree that are below none of some folders."""
    starts = tuple(f"{path}/" for path in paths)
    return {
        n: what for n, what in tree.items() if not n.startswith(starts) and what.startswith("file")
    }


def folders_of(tree: Tree) -> Iterator[str]:
    """The folders in a tree."""
    return (name for name, what in tree.items() if what.startswith("folder"))


def differences(got: Tree, expected: Tree, most: int = 6) -> str:
    """What is different, in words; nothing if the two are the same."""
    found = [f"{name} is left over" for name in got.keys() - expected.keys()]
    found += [f"{name} is missing" for name in expected.keys() - got.keys()]
    found += [
        f"{name}: {got[name]}, expected {expected[name]}"
        for name in got.keys() & expected.keys()
        if got[name] != expected[name]
    ]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(sorted(found)[:most]) + more


def fingerprint(tree: Tree) -> str:
    """A digest of a tree; random parts of names, and who held a lock, do not count."""
    lines = sorted(
        f"{_RANDOM.sub('*', name)} {'lock' if name.endswith('.lock') else what}"
        for name, what in tree.items()
    )
    return hashlib.blake2b("\n".join(lines).encode()).hexdigest()
