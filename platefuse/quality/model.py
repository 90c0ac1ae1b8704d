"""What is known of a fused well and of a plate: figures, verdicts and pictures. No pixels.

Figures are of one channel and plane. Positions and boxes are in pixels of the fused image, on the
axes y and x. A *residual* is what would have to be added to the place of a field so that it shows
the same tissue as the reference at the same place: 0 if it is registered well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from platefuse.records import Receipt

Verdict = Literal["good", "empty", "look", "bad"]
"""``good``: nothing is flagged. ``empty``: the reference has no structure to judge by. ``look``:
something is flagged that is not the place of a field. ``bad``: a field is misplaced or unmatched.
"""

Flag = Literal["misplaced", "unmatched", "unfocused", "saturated", "cut", "not measured"]
"""``misplaced``: its residual is large. ``unmatched``: too little of it is found again in the
reference. ``unfocused``: its fine structure is weak. ``saturated``: many of its pixels are.
``cut``: registration keeps little of it. ``not measured``: its place comes from its neighbours."""

VERDICTS: tuple[Verdict, ...] = ("bad", "look", "empty", "good")
"""All verdicts, the worst first."""

FLAGGED: tuple[Verdict, ...] = ("bad", "look")
"""Verdicts of wells that a user should look at, the worst first."""


@dataclass(frozen=True)
class FieldFigures:
    """Figures of one field of one acquisition. None: there is nothing to compute it from.

    Attributes
    ----------
    acquisition : int
        Number of the acquisition.
    image, field : str
        Path of the image in its well, and name of the field.
    box_px : (int, int, int, int)
        Top, left, bottom and right of the field in the fused image.
    shift_px : (float, float)
        How far registration moved it against the reference.
    kept : float
        Share of its pixels that registration keeps.
    blocks, matched : int
        Number of blocks that have structure in the reference, and of those that are found again in
        this acquisition.
    residual_px : (float, float), optional
        Median residual of the matched blocks.
    median_px, p95_px : float, optional
        Median and 95th percentile of the lengths of their residuals.
    before, after : float, optional
        Median correlation of the blocks with the reference, without and with the registration.
    focus : float, optional
        Strength of the fine structure against that of the coarse structure.
    saturated : float
        Share of its pixels that are saturated: the larger one of those in its blocks, and of those
        at a coarse level.
    gradient : float, optional
        How much brighter one side is than the other: (highest - lowest) / mean of a fitted plane.
    seam : float, optional
        Largest difference from a neighbour: mean of the absolute difference where both overlap,
        before they are blended, as a share of the mean.
    """

    acquisition: int
    image: str
    field: str
    box_px: tuple[int, int, int, int]
    shift_px: tuple[float, float]
    kept: float
    blocks: int = 0
    matched: int = 0
    residual_px: tuple[float, float] | None = None
    median_px: float | None = None
    p95_px: float | None = None
    before: float | None = None
    after: float | None = None
    focus: float | None = None
    saturated: float = 0.0
    gradient: float | None = None
    seam: float | None = None


@dataclass(frozen=True)
class CycleFigures:
    """How well two acquisitions of a well fit each other.

    Attributes
    ----------
    first, second : int
        Numbers of the acquisitions.
    blocks : int
        Number of blocks that are known in both.
    median_px, p95_px : float
        Median and 95th percentile of the lengths of the residuals between them.
    within_1px : float
        Share of the blocks with a residual of at most one pixel.
    """

    first: int
    second: int
    blocks: int
    median_px: float
    p95_px: float
    within_1px: float


@dataclass(frozen=True)
class Picture:
    """A picture of a well.

    Attributes
    ----------
    kind : str
        ``overlay``: reference and acquisition, the whole well. ``before`` and ``after``: a part of
        it at full resolution, without and with the registration. ``fields``: the reference with the
        outlines of the fields and the shifts as arrows.
    acquisition : int
        The acquisition that it shows.
    file : str
        Name of the file in the folder of the well's receipts.
    alt : str
        What it shows, in words.
    size_px : (int, int)
        Width and height.
    """

    kind: Literal["overlay", "before", "after", "fields"]
    acquisition: int
    file: str
    alt: str
    size_px: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class CheckedWell(Receipt):
    """What was found about a fused well.

    Attributes
    ----------
    well : str
        Its name, for example ``"B/03"``.
    reference : int
        Number of the acquisition that the others are compared with.
    channels : mapping of str to str
        The channel that is compared, by the number of the acquisition; empty if channels have no
        names.
    fields : tuple of FieldFigures
        Figures of the fields of all acquisitions.
    cycles : tuple of CycleFigures
        Figures of all pairs of acquisitions.
    pictures : tuple of Picture
        Its pictures.
    not_compared : mapping of str to str
        Acquisitions that cannot be compared with the reference, and why.
    seconds : float
        Duration of the job.
    """

    well: str
    reference: int
    channels: Mapping[str, str]
    fields: tuple[FieldFigures, ...]
    cycles: tuple[CycleFigures, ...]
    pictures: tuple[Picture, ...]
    not_compared: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class JudgedField:
    """A field, judged among all fields of the plate.

    Attributes
    ----------
    figures : FieldFigures
        Its figures.
    relative_focus : float, optional
        Its focus as a share of what is usual in its acquisition: 1 is usual.
    status : str
        How its place was found, see ``fields.tsv``; empty if places were not measured.
    flags : tuple of Flag
        What is wrong with it.
    """

    figures: FieldFigures
    relative_focus: float | None = None
    status: str = ""
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True)
class JudgedWell:
    """A well, judged.

    Attributes
    ----------
    checked : CheckedWell
        Its figures.
    fields : tuple of JudgedField
        Its fields.
    verdict : Verdict
        The verdict.
    reasons : tuple of str
        One phrase for each flag, with the fields that have it.
    figures : mapping of str to float or None
        Figures of the well by the names in `WELL_FIGURES`.
    """

    checked: CheckedWell
    fields: tuple[JudgedField, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    figures: Mapping[str, float | None]


WELL_FIGURES: Mapping[str, str] = {
    "residual_px": "median residual of the worst acquisition against the reference, pixels",
    "p95_px": "95th percentile of the residuals of the worst acquisition, pixels",
    "within_1px": "share of the blocks within one pixel",
    "matched": "share of the blocks that are found again in the reference",
    "before": "median correlation with the reference, without the registration",
    "after": "median correlation with the reference",
    "shift_px": "largest shift by the registration, pixels",
    "kept": "least share of a field that registration keeps",
    "focus": "least focus of a field, as a share of what is usual in its acquisition",
    "saturated": "largest share of saturated pixels of a field",
    "gradient": "largest gradient of the illumination of a field",
    "seam": "largest difference between neighbours where they overlap",
    "flagged_fields": "number of flagged fields",
}
"""The figures of a well, the columns of ``quality_wells.tsv``, and what they are."""


@dataclass(frozen=True)
class PlateReport:
    """All that the report of a plate shows.

    Attributes
    ----------
    plate : str
        Name of the plate in the config.
    fused : str
        Path of the fused plate.
    rows, columns : tuple of str
        Names of all rows and columns of the plate's layout, in their order.
    wells : tuple of JudgedWell
        The wells that were checked, in plate order.
    left_out : mapping of str to str
        Wells that were not processed, and why.
    settings : mapping of str to object
        The config, as JSON values.
    versions : mapping of str to str
        Versions of platefuse and of the libraries that made the pixels.
    digests : mapping of str to str
        Digest of the config, and others that identify the run.
    folder : str
        The folder with the pictures: ``<results>/<plate>``, which has a folder ``row/column`` for
        each well. Relative to the report.
    command : str
        The command of the run; empty if it is not known.
    """

    plate: str
    fused: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[JudgedWell, ...]
    left_out: Mapping[str, str]
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    folder: str = "."
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportedPlate(Receipt):
    """The verdicts on a plate.

    Attributes
    ----------
    plate : str
        Name of the plate in the config.
    verdicts : mapping of str to int
        Number of wells of each verdict that occurs.
    flagged : mapping of str to str
        The flagged wells, and why; the bad ones first.
    """

    plate: str
    verdicts: Mapping[str, int]
    flagged: Mapping[str, str]
