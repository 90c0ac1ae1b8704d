"""The sections of the config: what is done to a plate, and how.

Options on which pixels depend are declared where they are used; a section holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from platefuse.fusion.options import FusionOptions
from platefuse.measuring.options import MeasureOptions
from platefuse.quality.options import QualityOptions
from platefuse.registration.request import RegistrationRequest, Verify
from platefuse.storage.expected import Expected, path_of, whole
from platefuse.storage.options import check_options, option

_OUTPUT = path_of("a folder on this machine", r"(?!.*://)").nullable("null")


_WELLS = Expected(
    'a list of wells, rows, columns or ranges of these, for example ["B03", "C", "B03:D08"], the '
    "path of a TSV, or null",
    lambda v: (
        v is None
        or (isinstance(v, str) and bool(v))
        or (
            isinstance(v, list)
            and bool(v)
            and all((isinstance(own, str) and own) or type(own) is int for own in v)
        )
    ),
    schema={
        "type": ["array", "string", "null"],
        "minItems": 1,
        "minLength": 1,
        "items": {"type": ["string", "integer"]},
    },
)


@dataclass(frozen=True)
class Subset:
    """Which wells are processed."""

    include: Annotated[list[str | int] | str | None, _WELLS] = option(
        None,
        "Wells to process: wells (B03), rows (B), columns (3), ranges of these (B03:D08), or the "
        "path of a tab-separated table with a column `well` and, if plates differ, `plate`; "
        "null: all.",
        comment='null: all; ["B03", "C", "B03:D08"], or a TSV with a column well',
    )
    exclude: Annotated[list[str | int] | str | None, _WELLS] = option(
        None, "Wells to leave out of these, written in the same ways; null: none."
    )

    def __post_init__(self) -> None:
        check_options(self, "wells")


@dataclass(frozen=True)
class Measure:
    """Whether and how shifts and positions are measured.

    Attributes
    ----------
    options : MeasureOptions
        How.
    """

    enabled: bool = option(
        False,
        "Whether shifts between acquisitions and positions of fields are measured; false: they are "
        "read from registered ROI tables.",
        comment="true: measure; false: read registered ROI tables",
    )
    options: MeasureOptions = field(default_factory=MeasureOptions)

    def __post_init__(self) -> None:
        check_options(self, "registration.measure")


@dataclass(frozen=True)
class Registration:
    """How the acquisitions of a well are registered to one reference.

    Attributes
    ----------
    request : RegistrationRequest
        The keys on which the pixels depend.
    """

    enabled: bool = option(
        True,
        "Whether to register; false: the plates are fused as they are.",
        comment="false: only fuse",
    )
    store: bool = option(
        True,
        "Whether registered images are written into the plate; false: the plate is not changed, "
        "and fusion places the fields of the raw images where they are registered.",
        comment="false: fuse the raw images, each field at its registered place",
    )
    request: RegistrationRequest = field(default_factory=RegistrationRequest)
    keep_originals: bool = option(
        False,
        "Whether the originals are kept under <plate>.staging; false: they are removed when the "
        "well has been checked, but for those that a run before was to keep.",
    )
    verify: Verify = option(
        "sample",
        "What of a registered image is compared with its original before that is removed: all its "
        "chunk files are counted, and `sample` compares one block of 64 × 64 pixels of each array, "
        "and one more for every 64 chunks, `full` all pixels of level 0; `none`: nothing.",
    )
    measure: Measure = field(default_factory=Measure)

    def __post_init__(self) -> None:
        check_options(self, "registration")

    @property
    def measures(self) -> bool:
        """Whether shifts are measured."""
        return self.enabled and self.measure.enabled

    @property
    def writes_images(self) -> bool:
        """Whether images are registered in their plate."""
        return self.enabled and self.store


@dataclass(frozen=True)
class Fusion:
    """How the fields of a well are fused into one image.

    Attributes
    ----------
    options : FusionOptions
        The keys on which the pixels depend.
    """

    enabled: bool = option(
        True,
        "Whether to fuse; false: the plates are only registered.",
        comment="false: only register",
    )
    output: Annotated[str | None, _OUTPUT] = option(
        None,
        "Path of the fused plate, a folder: no address, and ~ is not expanded; null: "
        "<plate>_fused.zarr next to the plate.",
        comment="null: <plate>_fused.zarr next to the plate",
    )
    options: FusionOptions = field(default_factory=FusionOptions)
    scatter: Annotated[int, whole(1, 1000)] = option(
        1, "Number of jobs that share the fusion of one well.", comment="jobs for one well"
    )

    def __post_init__(self) -> None:
        check_options(self, "fusion")


@dataclass(frozen=True)
class Quality:
    """Whether and how fused wells are checked.

    Attributes
    ----------
    options : QualityOptions
        How.
    """

    enabled: bool = option(
        True,
        "Whether figures and pictures of every fused well are made, and a report of the plate.",
        comment="figures, pictures and a report of every plate",
    )
    options: QualityOptions = field(default_factory=QualityOptions)

    def __post_init__(self) -> None:
        check_options(self, "quality")


@dataclass(frozen=True)
class Workflow:
    """How the work is cut into jobs. It changes no result."""

    jobs: Literal["auto", "step", "well"] = option(
        "auto",
        "What one job does. step: one step of an image or of a well; well: all steps of a well; "
        "auto: step if fusion.scatter is above 1, or on one machine for a run of fewer than 8 "
        "wells with images of 1 GiB or more, and well for all others.",
    )

    def __post_init__(self) -> None:
        check_options(self, "workflow")
