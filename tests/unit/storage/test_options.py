"""Options that are declared once and check themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from platefuse.errors import ConfigError
from platefuse.storage.expected import COUNT, POSITIVE, by_axis
from platefuse.storage.options import Requires, check_options, option


@dataclass(frozen=True)
class Paint:
    colour: Literal["red", "blue"] = option("red", "The colour.")
    coats: Annotated[int, COUNT] = option(1, "How many.")
    shine: bool = option(False, "Whether it shines.")
    name: str | None = option(
        None, "Its name.", requires=Requires("colour", "blue", "red has none")
    )
    size: Annotated[Mapping[str, float], by_axis(POSITIVE, "yx")] = option(
        {"y": 2, "x": 3}, "Its size."
    )
    thickness: Annotated[Mapping[str, int], by_axis(COUNT, "yx")] | None = option(None, "By axis.")

    def __post_init__(self) -> None:
        check_options(self, "paint")

    def contradictions(self) -> Iterator[str]:
        if self.coats > 2 and self.shine:
            yield "paint.coats is too many to shine."


def faults(**given: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        Paint(**given)  # type: ignore[arg-type]
    return error.value.args


def test_defaults_are_accepted_and_are_each_ones_own() -> None:
    assert Paint().size == {"y": 2, "x": 3}
    assert Paint().size is not Paint().size


def test_a_mapping_is_completed_by_its_default() -> None:
    assert Paint(size={"x": 1}).size == {"y": 2, "x": 1}
    assert Paint(thickness={"x": 1}).thickness == {"x": 1}


def test_whole_numbers_become_integers() -> None:
    made = Paint(coats=2.0, thickness={"x": 4.0}, size={"x": 1.5})  # type: ignore[arg-type,dict-item]
    assert (repr(made.coats), repr(made.thickness), made.size["x"]) == ("2", "{'x': 4}", 1.5)


def test_every_wrong_option_is_told() -> None:
    assert faults(colour="green", coats=0, shine="yes", name="") == (
        "paint.colour is 'green'; expected one of ['red', 'blue']. The colour.",
        "paint.coats is 0; expected a whole number above 0. How many.",
        "paint.shine is 'yes'; expected true or false. Whether it shines.",
        "paint.name is ''; expected a text that is not empty, or null. Its name.",
    )


def test_every_contradiction_is_told() -> None:
    assert faults(name="x", coats=3, shine=True) == (
        "paint.name is 'x', but paint.colour is 'red': red has none. "
        'Set paint.colour: "blue" or paint.name: null.',
        "paint.coats is too many to shine.",
    )
    assert Paint(colour="blue", name="x").name == "x"
    assert Paint(coats=2, shine=True).coats == 2
