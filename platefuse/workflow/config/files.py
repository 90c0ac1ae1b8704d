"""Write the files that follow from the config's classes; ``make config`` calls it.

They are the JSON schema (for editors), the example config with every default, the table of keys in
the manual, and the tables of the columns of the quality figures. A test fails when one of them is
not current.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from platefuse.quality.tables import DICTIONARY
from platefuse.storage.expected import Expected
from platefuse.storage.options import Requires, default_of
from platefuse.storage.typed_json import object_of
from platefuse.workflow.config.model import Config
from platefuse.workflow.config.own_options import COMMON, own_keys
from platefuse.workflow.config.reading import Key, keys

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA = "workflow/schemas/config.schema.yaml"
EXAMPLE = "config/config.yaml"
MANUAL = "config/README.md"
BEGIN, END = "<!-- keys: written by `make config` -->\n", "<!-- end of keys -->"

FIGURES = "docs/quality.md"
BEGIN_COLUMNS = "<!-- columns: written by `make config` -->\n"
END_COLUMNS = "<!-- end of columns -->"

_EXAMPLE_PLATES = {"demo": "example/demo.zarr"}
_MADE = "Written by `make config` from platefuse/workflow/config/model.py and what it imports."


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice a second time, without references."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def schema_text() -> str:
    """The JSON schema of the config, as YAML."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    config = _section_schema(Config)
    schema = {"$schema": dialect, "title": "platefuse config", **config}
    properties = object_of(config["properties"])
    plates = object_of(properties["plates"])
    plates["additionalProperties"] = _plate_schema(object_of(plates["additionalProperties"]))
    text = yaml.dump(schema, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
    return f"# {_MADE}\n{text}"


def example_text() -> str:
    """The example config: every key with its default and a comment."""
    head = "# Every key but `plates` may be left out; config/README.md explains each of them."
    return "\n".join([head, *_example_lines(Config, ""), ""])


def manual_text(manual: str) -> str:
    """The manual with a current table of keys."""
    before, _, rest = manual.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = ["| key | value | default | what it is |", "| --- | --- | --- | --- |"]
    return before + BEGIN + "\n".join([*rows, *_rows(Config, "")]) + "\n" + END + after


def figures_text(page: str) -> str:
    """The page about figures with current tables of their columns."""
    before, _, rest = page.partition(BEGIN_COLUMNS)
    _, _, after = rest.partition(END_COLUMNS)
    lines = []
    for name, columns in DICTIONARY.items():
        lines += [f"## The columns of `{name}`", "", "| column | what it holds |", "| --- | --- |"]
        lines += [f"| `{column}` | {words} |" for column, words in columns.items()]
        lines.append("")
    return before + BEGIN_COLUMNS + "\n".join(lines) + END_COLUMNS + after


def _plate_schema(path: Mapping[str, object]) -> dict[str, object]:
    """An entry of `plates`: a path, or a mapping of it and of options over the common ones."""
    own: dict[str, dict[str, object]] = {
        name: {"$ref": f"#/properties/{name}"} for name in own_keys(Config)
    }
    for key in COMMON:
        section, _, name = key.partition(".")
        if name:
            own[section]["properties"] = {name: False}
    words = "A path, with options of this plate over the common ones."
    mapping = {
        "description": words,
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {"path": path, **own},
    }
    return {"anyOf": [path, mapping]}


def _section_schema(kind: type[DataclassInstance]) -> dict[str, object]:
    known = keys(kind)
    required = [name for name, key in known.items() if _is_required(key)]
    return {
        "description": _summary(kind),
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": {name: _key_schema(key) for name, key in known.items()},
        **_conditions(known),
    }


def _key_schema(key: Key) -> dict[str, object]:
    if not isinstance(key, tuple):
        return {"default": {}, **_section_schema(key)}
    own, expected = key
    default = {} if _is_required(key) else {"default": default_of(own)}
    return {"description": own.metadata["description"], **expected.schema, **default}


def _conditions(known: Mapping[str, Key]) -> dict[str, object]:
    """What a key needs of another one, where that is not the other's default."""
    conditions = []
    for name, key in known.items():
        needs: Requires | None = key[0].metadata["requires"] if isinstance(key, tuple) else None
        if needs is None:
            continue
        other = known[needs.option]
        is_default = isinstance(other, tuple) and default_of(other[0]) == needs.value
        why = f"{needs.why[0].upper()}{needs.why[1:]}: set it to {needs.value!r}."
        then = {"properties": {needs.option: {"description": why, "const": needs.value}}}
        conditions.append(
            {
                "if": {"required": [name], "properties": {name: {"not": {"type": "null"}}}},
                "then": then if is_default else {"required": [needs.option], **then},
            }
        )
    return {"allOf": conditions} if conditions else {}


def _example_lines(kind: type[DataclassInstance], indent: str) -> Iterator[str]:
    for name, key in keys(kind).items():
        if not isinstance(key, tuple):
            yield f"{indent}{name}:"
            yield from _example_lines(key, f"{indent}  ")
            continue
        own, expected = key
        choices = " | ".join(map(_yaml, expected.schema.get("enum", [])))
        comment = own.metadata["comment"] or choices
        value = _yaml(default_of(own))
        if _is_required(key):
            yield f"{indent}{name}:"
            name, value = next((f"  {plate}", path) for plate, path in _EXAMPLE_PLATES.items())
        yield f"{indent}{name}: {value}{comment and f' # {comment}'}"


def _rows(kind: type[DataclassInstance], above: str) -> Iterator[str]:
    for name, key in keys(kind).items():
        anchor = f"{above}{name}".replace(".", "")
        link = f"[`{above}{name}`](#{anchor})"
        if not isinstance(key, tuple):
            yield f"| {link} | the keys below | | {_summary(key)} |"
            yield from _rows(key, f"{above}{name}.")
            continue
        own, expected = key
        default = "none: required" if _is_required(key) else f"`{_yaml(default_of(own))}`"
        what = own.metadata["description"].replace("<", "&lt;")
        yield f"| {link} | {_value_words(expected)} | {default} | {what} |"


def _value_words(expected: Expected) -> str:
    """What a value must be, as the manual says it."""
    if choices := expected.schema.get("enum"):
        *others, last = (f"`{_yaml(choice)}`" for choice in choices)
        return f"{', '.join(others)} or {last}"
    if expected.parts:
        (part, *_), axes = expected.parts.values(), ", ".join(f"`{a}`" for a in expected.parts)
        null = ", or null" if "null" in expected.schema["type"] else ""
        return f"mapping of {axes} to {part.words}{null}"
    return expected.words


def _yaml(value: object) -> str:
    """A value as a config file has it, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, str) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)


def _is_required(key: Key) -> bool:
    """Whether the default of a key is no value that it may have."""
    return isinstance(key, tuple) and not key[1].holds(default_of(key[0]))


def _summary(kind: type[DataclassInstance]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")


def files(clone: Path) -> dict[Path, str]:
    """Every file with the text that it must have."""
    manual = (clone / MANUAL).read_text()
    texts = {
        SCHEMA: schema_text(),
        EXAMPLE: example_text(),
        MANUAL: manual_text(manual),
        FIGURES: figures_text((clone / FIGURES).read_text()),
    }
    return {clone / name: text for name, text in texts.items()}


if __name__ == "__main__":
    for path, content in files(Path.cwd()).items():
        path.write_text(content)
