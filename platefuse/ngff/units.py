"""Units of length as people write them."""

from __future__ import annotations

_UM = {"pico": 1e-6, "nano": 1e-3, "micro": 1.0, "milli": 1e3, "centi": 1e4, "deci": 1e5, "": 1e6}
_SHORT = {"pm": 1e-6, "nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6}
_OTHERS = {
    "micron": 1.0,
    "angstrom": 1e-4,
    "å": 1e-4,
    "kilometer": 1e9,
    "km": 1e9,
    "inch": 25_400.0,
    "in": 25_400.0,
    "foot": 304_800.0,
    "ft": 304_800.0,
    "yard": 914_400.0,
}
_KNOWN = {f"{prefix}meter": um for prefix, um in _UM.items()} | _SHORT | _OTHERS


def um_per_unit(unit: object) -> float | None:
    """Micrometres in a unit of length; None if it is not one.

    Both names and symbols are known, in either spelling and both code points of µ.

    Examples
    --------
    >>> [um_per_unit(unit) for unit in ("micrometer", "µm", "μm", "um", "microns", "Micrometre")]
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    >>> um_per_unit("nm"), um_per_unit("millimetres"), um_per_unit("second")
    (0.001, 1000.0, None)
    """
    if not isinstance(unit, str):
        return None
    name = unit.strip().lower().replace("µ", "u").replace("μ", "u").replace("metre", "meter")
    # The symbols µm and m are names of their own; a name may be in the plural.
    return _KNOWN.get(name, _KNOWN.get(name.removesuffix("s")) if len(name) > 3 else None)


def likely_unit(spread: float, length_um: float, count: int) -> str | None:
    """The unit in which the positions of some fields probably are; None if it cannot be told.

    Parameters
    ----------
    spread : float
        Distance of the outermost positions, in their unit.
    length_um : float
        Length of a field in micrometres.
    count : int
        Number of fields, which should lie side by side.

    Examples
    --------
    >>> likely_unit(2.8, 1400.0, 9), likely_unit(0.0028, 1400.0, 9), likely_unit(0.0, 1400.0, 9)
    ('millimeters', 'meters', None)
    """
    for um, unit in ((1e3, "millimeters"), (1e6, "meters")):
        if 0.3 < spread * um / length_um < 3 * count:
            return unit
    return None
