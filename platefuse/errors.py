"""Errors that platefuse raises on purpose.

::

    PlatefuseError
    ├── ConfigError      ValueError   an option has a value that cannot be used
    ├── PlateError       ValueError ┐
    ├── ImageError       ValueError ├─ MetadataError: JSON or attributes are missing or broken
    ├── TableError       ValueError ┘
    ├── RecordError      ValueError   the request contradicts what was done before
    ├── SwapError        OSError      the new image cannot replace the old one
    ├── DiskError        OSError      what was written is not on the disk
    ├── LockError        OSError      another process works on the same plate or image
    ├── ViewError        ValueError   the images to be fused do not fit together
    ├── MeasureError     ValueError   shifts or positions cannot be measured
    └── QualityError     ValueError   a well is flagged and must not be

Each class is also the builtin that a caller would expect. The message is complete in itself: what
is wrong, in which file or field, what was found, what was expected, and what to do.

`MetadataError` is below three classes, because a JSON file is read in the same way whether it
describes a plate, an image or a table: whoever catches one of the three catches it as well.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

MEASURE_AGAIN = "Measure again: start Snakemake with --forcerun measure_well."
"""What to do where measured shifts do not fit what is there now: the end of many messages."""

NO_MEMORY = "there is not enough memory. Give it more, or fewer threads or smaller chunks."
"""What to do where the system gives no more memory."""

_LONGEST = 1500
_SHOWN = 20


def shortened(text: str, longest: int = _LONGEST) -> str:
    """A text whose lines are cut in the middle, where they are too long to be read.

    Examples
    --------
    >>> shortened("name of a file: " + "x" * 90 + " is too long", 60)
    'name of a file: xxxxxxxxxxxxxx … (73 letters) … xxx is too long'
    """
    return "\n".join(_shortened(line, longest) for line in text.split("\n"))


def _shortened(line: str, longest: int) -> str:
    if len(line) <= longest:
        return line
    head, tail = longest // 2, longest // 4
    return f"{line[:head]} … ({len(line) - head - tail} letters) … {line[-tail:]}"


def quoted(path: Path) -> str:
    """A path in a command that a message tells to type.

    Examples
    --------
    >>> quoted(Path("my plate #1.zarr"))
    "'my plate #1.zarr'"
    """
    return shlex.quote(str(path))


def one_line(error: object) -> str:
    """What an error of another library says, in one line."""
    return _shortened(" ".join(str(error).split()), _LONGEST)


def counted(count: int, one: str, many: str) -> str:
    """A number of things, with the phrase for one or for several of them.

    Examples
    --------
    >>> counted(1, "well is", "wells are"), counted(2, "well is", "wells are")
    ('1 well is', '2 wells are')
    """
    return f"{count} {one if count == 1 else many}"


def some(names: Iterable[object]) -> str:
    """Values for a message, as a list: the first of them, and how many more there are.

    Examples
    --------
    >>> some(["a", "b"]), some(range(1000))[-17:]
    ("['a', 'b']", ' 19] and 980 more')
    """
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{found[:_SHOWN]}{more}"


def listed(names: Sequence[str], most: int = _SHOWN) -> str:
    """As `some`, for names of wells or files: without brackets and quotes.

    Examples
    --------
    >>> listed(["B/03", "B/04", "C/01"], most=2), listed(["B/03"])
    ('B/03, B/04 and 1 more', 'B/03')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class PlatefuseError(Exception):
    """Base of all errors that platefuse raises on purpose. Lines that are too long are cut."""

    def __str__(self) -> str:
        return shortened(super().__str__())


class ConfigError(PlatefuseError, ValueError):
    """Options have values that cannot be used; `args` holds a sentence for each of them."""

    def __str__(self) -> str:
        return shortened("\n".join(map(str, self.args)))


class PlateError(PlatefuseError, ValueError):
    """A plate or a well is missing, or its metadata cannot be used."""


class ImageError(PlatefuseError, ValueError):
    """An image or a label cannot be read or written, or its metadata cannot be used."""


class TableError(PlatefuseError, ValueError):
    """A table is missing, or its boxes cannot be used."""


class MetadataError(PlateError, ImageError, TableError):
    """A JSON file or the attributes of a group are missing or broken."""


class RecordError(PlatefuseError, ValueError):
    """The record of what was done to an image contradicts the request."""


class SwapError(PlatefuseError, OSError):
    """The new image cannot replace the old one."""


class DiskError(PlatefuseError, OSError):
    """The file system could not write what it was given."""


class LockError(PlatefuseError, OSError):
    """Another process works on the same plate or image, or its lock cannot be used."""


class ViewError(PlatefuseError, ValueError):
    """The images to be fused do not fit together, or cannot be placed."""


class MeasureError(PlatefuseError, ValueError):
    """Shifts or positions cannot be measured, or are doubtful and must not be."""


class QualityError(PlatefuseError, ValueError):
    """A well is flagged by its figures, and must not be."""
