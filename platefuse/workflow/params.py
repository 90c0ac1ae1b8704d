"""Params of the rules: what the jobs of a plate depend on. A job runs again when one changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from platefuse.workflow.config.model import Config
from platefuse.workflow.config.reading import settings_of
from platefuse.workflow.provenance import result_digest
from platefuse.workflow.receipts import PlateWildcards
from platefuse.workflow.well_steps import steps_of

Param = Callable[[PlateWildcards], object]


def params_of(config: Config) -> dict[str, object]:
    """The params of the jobs of a plate, from the config of this plate alone; JSON values."""
    registration, fusion = config.registration, config.fusion
    measure, settings = registration.measure.options, settings_of(config)
    return {
        "steps": steps_of(config),
        "images": config.images,
        "output": fusion.output,
        "options": asdict(fusion.options),
        "read_as": asdict(config.input),
        "request": asdict(registration.request) if registration.enabled else None,
        "store": registration.store,
        "keep_originals": registration.keep_originals,
        "illumination": config.illumination
        and {"given": config.illumination, "tile_table": fusion.options.tile_table},
        "scatter": fusion.scatter,
        "tile_table": fusion.options.tile_table,
        "reference": registration.request.reference_acquisition,
        "channel": config.checked_channel,
        "measure": asdict(measure),
        "pairs": asdict(measure.of_pairs),
        "quality": asdict(config.quality.options),
        "settings": settings,
        "config_digest": result_digest(settings),
    }


@dataclass(frozen=True)
class Params:
    """The params of the rules of a run.

    Attributes
    ----------
    config : Config
        The config.
    """

    config: Config

    def __getitem__(self, key: str) -> object | Param:
        """A param: its value if it is the same for all plates, else a function of the wildcards.

        Snakemake calls a function for each job, which takes time when there are thousands. It uses
        what the function returns unchanged, and puts wildcards into the braces of any other text.
        """
        values = {plate: params[key] for plate, params in self._by_plate.items()}
        first, *others = values.values() or [None]
        if all(other == first for other in others) and not _has_braces(first):
            return first

        def of_plate(wildcards: PlateWildcards) -> object:
            return values[wildcards.plate]

        return of_plate

    @cached_property
    def _by_plate(self) -> Mapping[str, dict[str, object]]:
        return {plate: params_of(own) for plate, own in self.config.by_plate.items()}


def _has_braces(value: object) -> bool:
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) and ("{" in text or "}" in text) for text in texts)
