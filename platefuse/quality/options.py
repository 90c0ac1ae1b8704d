"""When a well is flagged. Imports nothing that works on pixels: the config has these options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from platefuse.storage.expected import CHANNEL, POSITIVE, SHARE
from platefuse.storage.options import check_options, option


@dataclass(frozen=True)
class QualityOptions:
    """When a field is flagged. Each option is described where it is declared.

    Raises
    ------
    ConfigError
        If an option has a value that cannot be used.
    """

    channel: Annotated[str | None, CHANNEL] = option(
        None,
        "The channel that is compared, the same in all acquisitions; null: the one that shifts are "
        "measured by, or the first that all have. Name another one with the same stain in all "
        "acquisitions, if there is one: then the figures do not come from the measured pixels.",
        comment="label or wavelength_id; null: as for measuring",
    )
    max_residual: Annotated[float, POSITIVE] = option(
        1.0,
        "A field is flagged as misplaced if half of its blocks lie further from the reference than "
        "this, in pixels.",
        comment="pixels",
    )
    min_matched: Annotated[float, SHARE] = option(
        0.5,
        "A field is flagged as unmatched if a smaller share of its blocks with structure is found "
        "again in the reference.",
    )
    min_focus: Annotated[float, SHARE] = option(
        0.5,
        "A field is flagged as out of focus if its fine structure is weaker than this share of "
        "what is usual in its acquisition.",
    )
    max_saturated: Annotated[float, SHARE] = option(
        0.01, "A field is flagged as saturated if a larger share of its pixels is."
    )
    min_kept: Annotated[float, SHARE] = option(
        0.5, "A field is flagged as cut if registration keeps a smaller share of its pixels."
    )
    on_flag: Literal["warn", "stop"] = option(
        "warn",
        "What happens at the end if a well is flagged. warn: a warning names it; stop: the run "
        "ends with an error.",
        comment="warn | stop",
    )

    def __post_init__(self) -> None:
        check_options(self, "quality")
