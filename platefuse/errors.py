"""What can go wrong, said once and completely.

Every error that a user can cause is a `PlatefuseError`. Its text stands alone: what is wrong,
where, what was found, what was expected, and what to do. Each subclass is also the builtin
that a caller would have expected.
"""

from __future__ import annotations


class PlatefuseError(Exception):
    """Base of all errors that platefuse raises on purpose."""


class ConfigError(PlatefuseError, ValueError):
    """Options have values that cannot be used; `args` holds a sentence for each of them."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class PlateError(PlatefuseError, ValueError):
    """A plate or a well is missing, is no plate, or its metadata cannot be used."""


class ImageError(PlatefuseError, ValueError):
    """An image or a label cannot be read, or its metadata cannot be used."""


class TableError(PlatefuseError, ValueError):
    """A table is missing, or its boxes cannot be used."""


class RecordError(PlatefuseError, ValueError):
    """What was done to an image before contradicts what is asked now."""


class SwapError(PlatefuseError, OSError):
    """The new image cannot take the place of the old one."""


class ViewError(PlatefuseError, ValueError):
    """The images to be fused do not fit together, or cannot be placed."""
