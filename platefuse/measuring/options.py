"""How shifts are measured. Imports nothing that works on pixels: the config has these options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from platefuse.storage.expected import CHANNEL, POSITIVE
from platefuse.storage.options import check_options, option


@dataclass(frozen=True)
class PairOptions:
    """The options on which the measure of a pair depends; see `MeasureOptions`.

    Attributes
    ----------
    channel : str or None
        The channel to measure by.
    max_shift : float
        Largest shift in micrometres.
    stitch : bool
        Whether neighbours are measured.
    """

    channel: str | None = None
    max_shift: float = 30
    stitch: bool = True


@dataclass(frozen=True)
class MeasureOptions:
    """How shifts are measured. Each option is described where it is declared.

    Raises
    ------
    ConfigError
        If an option has a value that cannot be used.
    """

    channel: Annotated[str | None, CHANNEL] = option(
        None,
        "The channel to measure by, the same in all acquisitions; null: the first that all have.",
        comment="label or wavelength_id; null: the first that all acquisitions have",
    )
    max_shift: Annotated[float, POSITIVE] = option(
        30,
        "Largest shift between acquisitions, and largest error of a stage position, in "
        "micrometres.",
        comment="micrometres",
    )
    stitch: bool = option(
        True,
        "Whether the positions of the fields are refined from their overlaps; false: the stage "
        "positions of the reference acquisition are kept.",
    )
    model: Literal["translation", "rigid"] = option(
        "translation",
        "rigid: the plate may be turned a little between acquisitions; one angle is fitted for "
        "each acquisition.",
        comment="translation | rigid",
    )
    on_doubt: Literal["fill", "stop"] = option(
        "fill",
        "What happens if the place of a field with tissue cannot be measured. fill: it is taken "
        "from its neighbours, and fields.tsv says so; stop: the run stops, and lists these fields.",
        comment="fill | stop",
    )

    def __post_init__(self) -> None:
        check_options(self, "registration.measure")

    @property
    def of_pairs(self) -> PairOptions:
        """The options on which the measure of a pair depends: others change no pair."""
        return PairOptions(self.channel, self.max_shift, self.stitch)
