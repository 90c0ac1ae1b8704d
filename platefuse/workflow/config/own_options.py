"""Options of one plate over the common ones: an entry of `plates` that is a mapping.

A section is merged key by key. The value of an option replaces the common one as a whole, also
where it is itself a mapping, such as `fusion.output_spacing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from platefuse.workflow.config.reading import keys, meant_by

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

COMMON = {
    "results": "it is the folder of the whole run",
    "on_bad_well": "it decides whether the run begins",
    "workflow": "it decides how the work of the run is cut into jobs",
    "fusion.scatter": "it decides how the work of the run is cut into jobs",
}
"""Keys that are the same for all plates, and why."""

_KEY = re.compile(r"\bconfig((?:\.[a-z_]+)+)")


def own_keys(kind: type[DataclassInstance]) -> list[str]:
    """The top-level keys of a config that a plate may have, too."""
    return [key for key in keys(kind) if key != "plates" and key not in COMMON]


def merged(
    kind: type[DataclassInstance], common: Mapping[str, object], own: Mapping[str, object]
) -> dict[str, object]:
    """Keys of a section of one plate over the common ones.

    Parameters
    ----------
    kind : type
        The class of the section, or of the config.
    common, own : mapping
        The keys for all plates and for the plate.
    """
    result = {**common, **own}
    for name, key in keys(kind).items():
        above, over = common.get(name), own.get(name)
        if not isinstance(key, tuple) and isinstance(above, Mapping) and isinstance(over, Mapping):
            result[name] = merged(key, above, over)
    return result


def own_faults(
    kind: type[DataclassInstance], plate: str, own: Mapping[str, object]
) -> Iterator[str]:
    """Sentences for the keys of a plate that it may not have."""
    where = f"config.plates.{plate}"
    known = own_keys(kind)
    for key, why in COMMON.items():
        if has_key(own, key):
            yield (
                f"{where}.{key} is given for one plate; expected it for all plates alike, as "
                f"config.{key}, because {why}. Write it there."
            )
    if unknown := [key for key in own if key not in known and key not in COMMON]:
        hint = meant_by(unknown, ["path", *known], kind)
        yield f"{where} has unknown keys {unknown}; known are path, {', '.join(known)}.{hint}"


def has_key(own: object, key: str) -> bool:
    """Whether options give a key, such as ``fusion.scatter``."""
    for name in key.split("."):
        if not isinstance(own, Mapping) or name not in own:
            return False
        own = own[name]
    return True


def located(text: str, plate: str, own: Mapping[str, object]) -> str:
    """A message about the options of a plate, with the place of those keys that it gives itself.

    Examples
    --------
    >>> own = {"registration": {"store": False}}
    >>> located("config.registration.store is false, config.fusion.enabled, too", "b", own)
    'config.plates.b.registration.store is false, config.fusion.enabled, too'
    """

    def place(found: re.Match[str]) -> str:
        is_own = has_key(own, found[1].removeprefix("."))
        return f"config.plates.{plate}{found[1]}" if is_own else found[0]

    return _KEY.sub(place, text)
