"""What lies in the folder of an array and is neither its metadata nor one of its chunks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import ImageError
from platefuse.ngff.metadata import ArrayMetadata
from platefuse.ngff.zarr_format import CONSOLIDATED_FILE, METADATA_FILES
from platefuse.storage.files import entries
from platefuse.storage.typed_json import object_of

_KNOWN = frozenset((*METADATA_FILES, CONSOLIDATED_FILE))
_CHUNK = re.compile(r"c|(c[./])?\d+([./]\d+)*")


def is_chunk_name(path: str) -> bool:
    """Whether a path in the folder of an array may be that of a chunk, whatever the array is.

    Examples
    --------
    >>> [is_chunk_name(path) for path in ("0.0", "0/1", "c/0/0", "c", ".zarray", "notes.txt")]
    [True, True, True, True, False, False]
    """
    return _CHUNK.fullmatch(path) is not None


@dataclass(frozen=True)
class ChunkNames:
    """How an array names the files of its chunks.

    Attributes
    ----------
    prefix : str or None
        What each name begins with; None: nothing.
    separator : str
        What is between the parts: with ``/`` each part but the last is a folder.
    grid : tuple of int
        Number of chunk files on each axis.
    """

    prefix: str | None
    separator: str
    grid: tuple[int, ...]

    @classmethod
    def of(cls, array: ArrayMetadata) -> ChunkNames:
        """The names of the chunks of an array.

        Raises
        ------
        ImageError
            If the shape of a chunk does not fit the array's.
        """
        try:
            grid = tuple(-(-n // c) for n, c in zip(array.shape, array.shard, strict=True))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ImageError(
                f"an array of the shape {list(array.shape)} has chunks that do not fit it ({error})"
            ) from error
        if "chunk_key_encoding" not in array.content:
            return cls(None, str(array.content.get("dimension_separator") or "."), grid)
        encoding = object_of(array.content["chunk_key_encoding"])
        is_default = encoding.get("name", "default") == "default"
        given = object_of(encoding.get("configuration")).get("separator")
        separator = given if isinstance(given, str) else "/" if is_default else "."
        return cls("c" if is_default else None, separator, grid)

    @property
    def _parts(self) -> tuple[str | int, ...]:
        """What the parts of a name are: a word, or a number below this one."""
        return self.grid if self.prefix is None else (self.prefix, *self.grid)

    def is_part(self, name: str, depth: int) -> bool:
        """Whether the path of a chunk, or of a folder with chunks, has this name at `depth`."""
        if self.separator == "/":
            return _fits(name, self._parts[depth])
        own = name.split(self.separator)
        return len(own) == len(self._parts) and all(map(_fits, own, self._parts))

    @property
    def depth(self) -> int:
        """The number of names in the path of a chunk."""
        return len(self._parts) if self.separator == "/" else 1


def _fits(own: str, part: str | int) -> bool:
    if isinstance(part, str):
        return own == part
    return own.isascii() and own.isdigit() and str(int(own)) == own and int(own) < part


def stray_entries(array: Path, metadata: ArrayMetadata) -> Iterator[Path]:
    """Files and folders in the folder of an array that are no part of it.

    Those are all but its metadata, and the chunks in its grid with the folders they lie in. What
    has the name of a chunk by another separator, or of a chunk outside the grid, is not part of it.

    Parameters
    ----------
    array : Path
        The folder of the array.
    metadata : ArrayMetadata
        Its metadata.

    Yields
    ------
    Path
        An entry; of a folder that is no part of the array, the folder alone.

    Raises
    ------
    ImageError
        If a chunk is neither a file nor a link to one.
    """
    try:
        names = ChunkNames.of(metadata)
    except ImageError as error:
        raise ImageError(f"{array}: {error}. Restore its metadata from a copy.") from error
    pending: list[tuple[Path | str, int]] = [(array, 0)]
    while pending:
        folder, depth = pending.pop()
        for entry in entries(folder):
            if depth == 0 and entry.name in _KNOWN and entry.is_file():
                continue
            is_last = depth + 1 == names.depth
            if not names.is_part(entry.name, depth):
                yield Path(entry.path)
            elif is_last:
                _check_file(entry)
            elif entry.is_dir():
                pending.append((entry.path, depth + 1))
            else:
                yield Path(entry.path)


def _check_file(chunk: os.DirEntry[str]) -> None:
    if chunk.is_file() or (chunk.is_symlink() and not os.path.exists(chunk.path)):  # noqa: PTH110
        return
    raise ImageError(
        f"{chunk.path}: a chunk of the image is a folder, a pipe or a device; expected a file. "
        "Restore the file from a copy of the plate, or move what is there away."
    )
