"""Write the figures of a plate as tables: fields, wells, and pairs of acquisitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from platefuse.quality.model import WELL_FIGURES, JudgedField, JudgedWell
from platefuse.storage.tsv import write_rows

FIELDS, WELLS, CYCLES = "quality_fields.tsv", "quality_wells.tsv", "quality_cycles.tsv"
"""Names of the files."""

_FIELD_FIGURES = {
    "top_px": "first row of the field in the fused image, pixels",
    "left_px": "first column, pixels",
    "bottom_px": "row after its last, pixels",
    "right_px": "column after its last, pixels",
    "shift_y_px": "what registration added to its place in y against the reference, pixels",
    "shift_x_px": "the same in x",
    "kept": "share of its pixels that registration keeps",
    "blocks": "number of its blocks that have structure in the reference",
    "matched": "number of these blocks that are found again in the reference",
    "residual_y_px": "what would have to be added to its place in y: median of its blocks, pixels",
    "residual_x_px": "the same in x",
    "median_px": "median of the lengths of the residuals of its blocks, pixels",
    "p95_px": "95th percentile of these lengths, pixels",
    "before": "median correlation of its blocks with the reference, without the registration",
    "after": "median correlation of its blocks with the reference",
    "focus": "amplitude of fine structure as a share of that of coarse structure",
    "relative_focus": "focus as a share of what is usual in its acquisition, and at its place",
    "saturated": "share of its pixels that are saturated: in its blocks or, if more, at a coarse "
    "level",
    "gradient": "(highest - lowest) / mean of a plane that is fitted to its brightness",
    "seam": "largest difference from a neighbour where both overlap, before they are blended, as "
    "a share of the mean",
    "status": "how its place was found, as in fields.tsv; empty if places were not measured",
    "flags": "what is wrong with it, separated by commas",
}

DICTIONARY: Mapping[str, Mapping[str, str]] = {
    FIELDS: {
        "plate": "name of the plate in the config",
        "well": "row and column",
        "acquisition": "number of the acquisition",
        "image": "path of the acquired image in its well",
        "field": "name of the field",
        **_FIELD_FIGURES,
    },
    WELLS: {
        "plate": "name of the plate in the config",
        "well": "row and column",
        "verdict": "good, empty (nothing to judge by), look (flagged, but in place) or bad (a "
        "field is misplaced)",
        **WELL_FIGURES,
        "reasons": "why it is flagged",
    },
    CYCLES: {
        "plate": "name of the plate in the config",
        "well": "row and column",
        "first": "number of one acquisition",
        "second": "number of another acquisition",
        "blocks": "number of blocks that are known in both",
        "median_px": "median of the lengths of the residuals between them, pixels",
        "p95_px": "95th percentile of these lengths, pixels",
        "within_1px": "share of the blocks with a residual of at most one pixel",
    },
}
"""The columns of each file, in their order, and what they hold. A cell is empty where a figure
cannot be computed."""


@dataclass(frozen=True)
class Tables:
    """The tables of one plate.

    Attributes
    ----------
    plate : str
        Name of the plate.
    wells : sequence of JudgedWell
        Its wells.
    """

    plate: str
    wells: Sequence[JudgedWell]

    def write(self, folder: Path) -> None:
        """Write all three files into a folder, each in one step."""
        for name, rows in (
            (FIELDS, [self._field(w, f) for w in self.wells for f in w.fields]),
            (WELLS, [self._well(w) for w in self.wells]),
            (CYCLES, [row for w in self.wells for row in self._cycles(w)]),
        ):
            write_rows(folder / name, tuple(DICTIONARY[name]), rows)

    def _start(self, well: JudgedWell) -> dict[str, object]:
        return {"plate": self.plate, "well": well.checked.well}

    def _field(self, well: JudgedWell, field: JudgedField) -> dict[str, object]:
        own = field.figures
        names = ("top_px", "left_px", "bottom_px", "right_px")
        residual = own.residual_px or (None, None)
        return {
            **asdict(own),
            **self._start(well),
            **dict(zip(names, own.box_px, strict=True)),
            "shift_y_px": own.shift_px[0],
            "shift_x_px": own.shift_px[1],
            "residual_y_px": residual[0],
            "residual_x_px": residual[1],
            "relative_focus": field.relative_focus,
            "status": field.status,
            "flags": ", ".join(field.flags),
        }

    def _well(self, well: JudgedWell) -> dict[str, object]:
        reasons = "; ".join(" ".join(reason.split()) for reason in well.reasons)
        figures = dict(well.figures)
        figures["flagged_fields"] = sum(bool(field.flags) for field in well.fields)
        return {**self._start(well), "verdict": well.verdict, **figures, "reasons": reasons}

    def _cycles(self, well: JudgedWell) -> list[dict[str, object]]:
        return [{**self._start(well), **asdict(cycle)} for cycle in well.checked.cycles]
