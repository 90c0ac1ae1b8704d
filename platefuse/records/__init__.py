"""Records and receipts: the JSON that platefuse leaves in images and for finished jobs.

A *record* is the JSON object under the key ``platefuse`` in the attributes of an image or a well.
It is written last, so a group that has one is complete. A *receipt* is the small JSON file of a
finished job, for which Snakemake looks. Both are read and written here only.
"""

from platefuse.records.base import KEY, Receipt, Record, forget_record
from platefuse.records.digests import digest_json, digest_tree
from platefuse.records.fusion import (
    FusedField,
    FusedImage,
    FusedImageRecord,
    FusedOutputRecord,
    FusedPlateRecord,
    FusedWellRecord,
    FusionReceipt,
    PlateReceipt,
)
from platefuse.records.illumination import AppliedProfile
from platefuse.records.originals import KeptOriginal, RestoredOriginal
from platefuse.records.places import (
    FieldKey,
    FieldPlace,
    FieldStatus,
    Vector,
    read_places,
    write_places,
)
from platefuse.records.registration import (
    ImageReceipt,
    PixelFiles,
    RegisteredRoi,
    RegisteredTable,
    RegistrationIdentity,
    RegistrationRecord,
    TableDigests,
    WellReceipt,
)
from platefuse.records.usage import JobUsage
from platefuse.records.versions import versions
from platefuse.records.whole_well import ProcessedWell
from platefuse.records.written import Written, WrittenArray

__all__ = [
    "KEY",
    "AppliedProfile",
    "FieldKey",
    "FieldPlace",
    "FieldStatus",
    "FusedField",
    "FusedImage",
    "FusedImageRecord",
    "FusedOutputRecord",
    "FusedPlateRecord",
    "FusedWellRecord",
    "FusionReceipt",
    "ImageReceipt",
    "JobUsage",
    "KeptOriginal",
    "PixelFiles",
    "PlateReceipt",
    "ProcessedWell",
    "Receipt",
    "Record",
    "RegisteredRoi",
    "RegisteredTable",
    "RegistrationIdentity",
    "RegistrationRecord",
    "RestoredOriginal",
    "TableDigests",
    "Vector",
    "WellReceipt",
    "Written",
    "WrittenArray",
    "digest_json",
    "digest_tree",
    "forget_record",
    "read_places",
    "versions",
    "write_places",
]
