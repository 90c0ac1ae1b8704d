"""The flat-field correction that an image has, as records keep it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AppliedProfile:
    """The profiles by which one channel was corrected: (raw − dark) / flat.

    Attributes
    ----------
    flat_sha256 : str
        Digest of the pixels of the flat.
    dark_sha256 : str, optional
        Digest of the pixels of the dark, if it is an image.
    dark : float, optional
        The dark, if it is a number.
    """

    flat_sha256: str
    dark_sha256: str | None = None
    dark: float | None = None
