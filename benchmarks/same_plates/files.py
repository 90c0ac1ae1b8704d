"""Compare two folders file by file: byte for byte, but for declared JSON values."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Times: no two runs have the same. They appear in records, receipts and nowhere else.
_TIMES = re.compile(rb'"(time|seconds|newest_ns)": ("[^"]*"|[-+.\w]+)')
_JSON_NAMES = (".zattrs", ".zgroup", ".zarray", ".zmetadata")


@dataclass(frozen=True)
class ExpectedDifference:
    """JSON values that the two versions write differently on purpose.

    Attributes
    ----------
    path : tuple of str
        The last keys on the way to the object that holds them; ``*`` is any key.
    keys : tuple of str
        The keys in that object. They may be missing in one version.
    reason : str
        Why they differ.
    """

    path: tuple[str, ...]
    keys: tuple[str, ...]
    reason: str

    def applies(self, path: Sequence[str]) -> bool:
        """Whether an object at this path holds the keys."""
        ends = path[-len(self.path) :]
        return len(ends) == len(self.path) and all(
            expected in ("*", key) for expected, key in zip(self.path, ends, strict=True)
        )


EXPECTED = (
    ExpectedDifference(
        ("fusion", "wanted", "sources", "*"),
        ("newest_ns", "changed_ns", "content"),
        "The record of a fused well tells whether its sources have changed. 0.1.0 compared the "
        "newest modification time of their files; later versions a digest of their content.",
    ),
)


@dataclass
class Comparison:
    """What comparing two folders has found.

    Attributes
    ----------
    files, nbytes : int
        Number of files in both folders, and their bytes in the first.
    timed : int
        Number of files that are the same but for times (and for the folder's own path).
    expected : int
        Number of files that differ in expected values, and in nothing else.
    differences : list of str
        All other differences, each with the path of the file.
    """

    files: int = 0
    nbytes: int = 0
    timed: int = 0
    expected: int = 0
    differences: list[str] = field(default_factory=list)


def compare_folders(
    before: Path, after: Path, included: Callable[[str], bool] = lambda _: True
) -> Comparison:
    """Compare all files below two folders, their permissions, and the empty folders.

    Parameters
    ----------
    before, after : Path
        The folders. Where a JSON file holds the absolute path of its folder, the path counts
        as the same.
    included : callable
        Whether a file or folder is compared, by its path relative to `before` or `after`.

    Returns
    -------
    Comparison
    """
    found = Comparison()
    entries, others = (
        {n: p for n, p in _walk(folder) if included(n)} for folder in (before, after)
    )
    found.differences += [f"{name}: only before" for name in entries if name not in others]
    found.differences += [f"{name}: only after" for name in others if name not in entries]
    for name in sorted(entries.keys() & others.keys()):
        one, other = entries[name], others[name]
        modes = [stat.filemode(path.lstat().st_mode) for path in (one, other)]
        if modes[0] != modes[1]:
            found.differences.append(f"{name}: mode {modes[0]} before, {modes[1]} after")
        elif one.is_file():
            _compare_files(found, name, _Side(before, one), _Side(after, other))
    return found


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        yield path.relative_to(folder).as_posix(), path


@dataclass(frozen=True)
class _Side:
    folder: Path
    file: Path

    @property
    def is_json(self) -> bool:
        return self.file.suffix == ".json" or self.file.name in _JSON_NAMES

    def timeless(self, content: bytes) -> bytes:
        """The text of a JSON file without times and without the folder's own path."""
        return _TIMES.sub(rb'"\1": 0', content.replace(str(self.folder).encode(), b""))


def _compare_files(found: Comparison, name: str, before: _Side, after: _Side) -> None:
    one, other = before.file.read_bytes(), after.file.read_bytes()
    found.files += 1
    found.nbytes += len(one)
    if one == other:
        return
    if not before.is_json:
        found.differences.append(f"{name}: {_first_byte(one, other)}")
        return
    one, other = before.timeless(one), after.timeless(other)
    if one == other:
        found.timed += 1
        return
    whole = [json.loads(text) for text in (one, other)]
    parsed = [_without_expected(content) for content in whole]
    # As text: the order of the keys counts.
    same, same_but_for_expected = (json.dumps(a) == json.dumps(b) for a, b in (whole, parsed))
    if same_but_for_expected and not same:
        found.expected += 1
    else:
        first = next(_json_differences(*parsed), "the order of the keys, or the formatting")
        found.differences.append(f"{name}: {first}")


def _first_byte(one: bytes, other: bytes) -> str:
    if len(one) != len(other):
        return f"{len(one)} bytes before, {len(other)} after"
    place = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return f"differs first at byte {place} of {len(one)}"


def _without_expected(content: Any, path: tuple[str, ...] = ()) -> Any:
    """A JSON value without what is expected to differ."""
    if isinstance(content, list):
        return [_without_expected(value, (*path, "*")) for value in content]
    if not isinstance(content, dict):
        return content
    left_out = {key for e in EXPECTED if e.applies(path) for key in e.keys}
    return {
        key: _without_expected(value, (*path, key))
        for key, value in content.items()
        if key not in left_out
    }


def _json_differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two JSON values differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            where = f"{path}.{key}" if path else key
            if key not in other:
                yield f"{where} only before"
            elif key not in one:
                yield f"{where} only after"
            else:
                yield from _json_differences(one[key], other[key], where)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _json_differences(a, b, f"{path}[{index}]")
    elif one != other:
        yield f"{path}: {_short(one)} before, {_short(other)} after"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
