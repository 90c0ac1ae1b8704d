"""What is known of the original of a registered image: that it is kept, or was put back.

Each is a file of its own in the staging folder, beside the backup, so that the original itself
stays as it was, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from platefuse.records.base import Receipt
from platefuse.records.registration import RegistrationRecord


@dataclass(frozen=True, kw_only=True)
class KeptOriginal(Receipt):
    """The original of an image is to be kept, as a run was told.

    Attributes
    ----------
    well, image : str
        Name of the well, for example ``"B/03"``, and path of the image in it.
    registered : str, optional
        Digest of the files of the registered image when the well was done; see `FolderState`. What
        somebody adds to it or changes afterwards is not lost when the original is put back.
    """

    well: str
    image: str
    registered: str | None = None


@dataclass(frozen=True, kw_only=True)
class RestoredOriginal(Receipt):
    """The original of an image was put back; `time` says when.

    Attributes
    ----------
    well, image : str
        Name of the well, and path of the image in it.
    record : RegistrationRecord, optional
        The record of the registered image that was there before, if it could be read.
    """

    well: str
    image: str
    record: RegistrationRecord | None = None
