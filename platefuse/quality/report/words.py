"""The sentences of the report that do not depend on the page: verdicts, next steps, columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from platefuse.quality.model import Flag, JudgedWell, PlateReport, Verdict
from platefuse.quality.report.scales import Kind

VERDICT_WORDS: Mapping[Verdict, str] = MappingProxyType(
    {"bad": "bad", "look": "to look at", "empty": "empty", "good": "good"}
)
"""How the page writes a verdict."""

VERDICT_MEANINGS: Mapping[Verdict, str] = MappingProxyType(
    {
        "bad": "A field is misplaced, or too little of it is found again.",
        "look": "Something is flagged, but every field is in its place.",
        "empty": "The reference has too little structure to judge by.",
        "good": "Nothing is flagged.",
    }
)

VERDICT_SIGNS: Mapping[Verdict, str] = MappingProxyType(
    {"bad": "×", "look": "!", "empty": "–", "good": ""}
)
"""The sign in the map, beside the colour."""


@dataclass(frozen=True)
class Column:
    """One column of a table: what the column dictionary says about it.

    Attributes
    ----------
    title, unit, meaning : str
        Its head, the unit of its values, and what it is.
    better : str
        Which values are better; empty if none are.
    kind : str
        How the page writes its values: a `Kind`, ``signed`` (a length with its sign), ``text``, or
        ``words`` (a list of texts).
    """

    title: str
    unit: str
    meaning: str
    better: str = ""
    kind: Kind | Literal["signed", "text", "words"] = "pixels"


FIELD_COLUMNS: tuple[Column, ...] = (
    Column("Acquisition", "number", "Number of the acquisition.", kind="count"),
    Column("Image", "path", "Path of the image in its well.", kind="text"),
    Column("Field", "name", "Name of the field in its image.", kind="text"),
    Column(
        "Flags",
        "words",
        "What is wrong with the field; empty if nothing is.",
        "empty",
        kind="words",
    ),
    Column(
        "Status",
        "word",
        "How the place of the field was found, as in fields.tsv; empty if it was not measured.",
        "reference or measured",
        kind="text",
    ),
    Column(
        "Shift y", "px", "How far registration moved the field down. A minus: up.", kind="signed"
    ),
    Column(
        "Shift x",
        "px",
        "How far registration moved the field to the right. A minus: left.",
        kind="signed",
    ),
    Column(
        "Kept",
        "%",
        "Share of the pixels of the field that registration keeps.",
        "high",
        kind="share",
    ),
    Column(
        "Blocks", "number", "Blocks of the reference that have structure.", "high", kind="count"
    ),
    Column(
        "Matched",
        "number",
        "Blocks that are found again in this acquisition.",
        "high",
        kind="count",
    ),
    Column(
        "Residual y",
        "px",
        "What would still have to be added to the place of the field, downwards: the median over "
        "the matched blocks.",
        "near 0",
        kind="signed",
    ),
    Column("Residual x", "px", "The same to the right.", "near 0", kind="signed"),
    Column("Residual", "px", "Median of the lengths of the residuals of the blocks.", "low"),
    Column("Residual p95", "px", "95th percentile of the lengths.", "low"),
    Column(
        "Correlation before",
        "-1 to 1",
        "Median correlation of the blocks with the reference, without the registration.",
        kind="number",
    ),
    Column(
        "Correlation after", "-1 to 1", "The same with the registration.", "high", kind="number"
    ),
    Column(
        "Focus",
        "ratio",
        "Strength of the fine structure against the coarse structure, divided by what is usual "
        "in its acquisition and at its place: 1 is usual.",
        "near 1",
        kind="ratio",
    ),
    Column(
        "Saturated",
        "%",
        "Share of its pixels that are saturated: in its blocks or, if more, at a coarse level.",
        "low",
        kind="share",
    ),
    Column(
        "Gradient",
        "%",
        "How much brighter one side of the field is than the other, as a share of the mean.",
        "low",
        kind="share",
    ),
    Column(
        "Seam",
        "%",
        "Largest difference from a neighbour where both overlap, before they are blended, as a "
        "share of the mean.",
        "low",
        kind="share",
    ),
)
"""The columns of the table of fields, in their order."""

CYCLE_COLUMNS: tuple[Column, ...] = (
    Column("Residual", "px", "Median length of the residuals between two acquisitions.", "low"),
    Column("Residual p95", "px", "95th percentile of the lengths.", "low"),
    Column("Within 1 px", "%", "Share of the blocks with a residual of at most 1 px.", "high"),
    Column("Blocks", "number", "Number of blocks that are known in both acquisitions.", "high"),
)
"""The figures of two acquisitions."""

_TABLES = (
    "the places come from the registered ROI table `{table}`. Look at the "
    "residual arrows: if they are twice as long as the shift, the table has the opposite sign. "
    "Correct the table, or set `registration.measure.enabled: true`, so that platefuse measures "
    "the shifts."
)
_MEASURED = (
    "compare its pictures before and after. If the shift is larger than "
    "`registration.measure.max_shift`, raise it; if the channel shows little in some "
    "acquisitions, choose another `registration.measure.channel`; if the plate is turned, set "
    "`registration.measure.model: rigid`."
)
_NOT_REGISTERED = (
    "registration is switched off. Set `registration.enabled: true` if the acquisitions are not "
    "registered by other software."
)
_STORED = (
    " Registered images have replaced the originals (`registration.store: true`): restore the "
    "originals of the well first, because platefuse does not move an image twice."
)
_AGAIN = " Then start the run again."

NEXT_STEPS: Mapping[Flag, str] = MappingProxyType(
    {
        "unmatched": "little of the field is found again in the reference. "
        "Compare its pictures before and after: either the tissue changed or was lost between the "
        "acquisitions, or the shift is far from right. Another `quality.channel` with the same "
        "stain in all acquisitions shows which.",
        "unfocused": "registration cannot repair this. Look at the picture, then acquire the "
        "field again or leave it out of the analysis.",
        "saturated": "the place of the field is not affected. Do not measure intensities in it; "
        "use a shorter exposure next time.",
        "cut": "most of the field lies outside the reference. Look at the map of shifts: if this "
        "well differs from its neighbours, its shift is probably wrong; if all wells moved as "
        "far, the plate was placed differently.",
        "not measured": "the place of the field was taken from its neighbours. Look at its "
        "overlay; the column Status says why it could not be measured. With "
        "`registration.measure.on_doubt: stop` a run ends at such a field.",
    }
)
"""What to do about a flag. For ``misplaced`` it depends on the settings, see `next_steps`."""


def next_steps(well: JudgedWell, report: PlateReport) -> list[str]:
    """What to do about a flagged well, one sentence or more for each kind of flag."""
    flags = dict.fromkeys(flag for f in well.fields for flag in f.flags)
    texts = {**NEXT_STEPS, "misplaced": _misplaced(report)}
    return [f"{flag.capitalize()}: {texts[flag]}" for flag in flags if flag in texts]


def _misplaced(report: PlateReport) -> str:
    registration = _section(report.settings, "registration")
    if registration.get("enabled") is False:
        return _NOT_REGISTERED + _AGAIN
    if _section(registration, "measure").get("enabled"):
        text = _MEASURED
    else:
        text = _TABLES.format(table=registration.get("roi_table", "registered_FOV_ROI_table"))
    stored = registration.get("store", True) and registration.get("overwrite_input", True)
    return text + (_STORED if stored else "") + _AGAIN


def _section(settings: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = settings.get(name)
    return found if isinstance(found, Mapping) else {}


def headline(counts: Mapping[str, int]) -> str:
    """The verdict about a plate, as a sentence.

    Examples
    --------
    >>> headline({"bad": 1, "look": 2, "empty": 0, "good": 5, "left out": 0})
    '3 of 8 wells need a look'
    >>> headline({"bad": 0, "look": 0, "empty": 1, "good": 1, "left out": 0})
    'No well is flagged'
    >>> headline({"bad": 0, "look": 0, "empty": 0, "good": 2, "left out": 0})
    'Both wells are good'
    """
    checked = sum(n for verdict, n in counts.items() if verdict != "left out")
    flagged = counts["bad"] + counts["look"]
    if not checked:
        return "No well was checked"
    if not flagged:
        if counts["good"] < checked:
            return "No well is flagged"
        all_of_them = {1: "The well is", 2: "Both wells are"}
        return f"{all_of_them.get(checked, f'All {checked} wells are')} good"
    if checked == 1:
        return "The well needs a look"
    return f"{flagged} of {checked} wells {'needs' if flagged == 1 else 'need'} a look"


def direction(shift_px: tuple[float, float]) -> str:
    """A shift in words.

    Examples
    --------
    >>> direction((3.21, -0.5))
    '3.21 px down, 0.50 px left'
    """
    y, x = shift_px
    vertical = "down" if y >= 0 else "up"
    horizontal = "right" if x >= 0 else "left"
    return f"{abs(y):.2f} px {vertical}, {abs(x):.2f} px {horizontal}"
