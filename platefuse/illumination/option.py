"""What the config's key `illumination` must be. Needs no array library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from platefuse.storage.expected import NOT_NEGATIVE, Expected, path_of

_PATH = path_of("a TIFF file or of an OME-Zarr image", is_carried=True)
_DARK = Expected(
    f"{NOT_NEGATIVE.words} or {_PATH.words}",
    lambda value: NOT_NEGATIVE.holds(value) or _PATH.holds(value),
    schema={**_PATH.schema, "type": ["number", "string"], "minimum": 0},
)
_PARTS = {"flat": _PATH, "dark": _DARK}


class _Illumination(Expected):
    """Profiles of channels by their names."""

    def faults(self, name: str, value: object) -> Iterator[str]:
        if not isinstance(value, Mapping) or not value:
            yield from super().faults(name, value)
            return
        for channel, files in value.items():
            where = f"{name}.{channel}"
            if not isinstance(channel, str):
                yield (
                    f"{name} has the name {channel!r}, which YAML does not read as text. Write it "
                    f"in quotes: '{channel}'."
                )
            elif not isinstance(files, Mapping) or "flat" not in files or set(files) - set(_PARTS):
                yield (
                    f"{where} is {files!r}; expected the key flat and, optional, dark, for example "
                    "{flat: flat.tif, dark: 100}."
                )
            else:
                for key, part in files.items():
                    yield from _PARTS[key].faults(f"{where}.{key}", part)


ILLUMINATION = _Illumination(
    "null, or {channel: {flat: file, dark: file or number}}",
    lambda value: value is None or (isinstance(value, Mapping) and bool(value)),
    schema={
        "type": ["object", "null"],
        "minProperties": 1,
        "additionalProperties": {
            "description": "The profiles of a channel, named by its label or wavelength_id.",
            "type": "object",
            "required": ["flat"],
            "additionalProperties": False,
            "properties": {
                "flat": {"description": f"Expected {_PATH.words}.", **_PATH.schema},
                "dark": {"description": f"Expected {_DARK.words}.", **_DARK.schema},
            },
        },
    },
)
