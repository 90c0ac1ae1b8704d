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

MEASURE_AGAIN = "Measure again: start Snakemake with --forcerun measure_well."
"""What to do where measured shifts do not fit what is there now: the end of many messages."""


class PlatefuseError(Exception):
    """Base of all errors that platefuse raises on purpose."""


class ConfigError(PlatefuseError, ValueError):
    """Options have values that cannot be used; `args` holds a sentence for each of them."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


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
