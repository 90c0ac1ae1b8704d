"""Read the YAML of a config; what is wrong with the text is told with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from platefuse.errors import ConfigError, one_line

_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_MOST_BYTES = 5_000_000
_MOST_VALUES = 100_000
"""A config of 10,000 wells has fewer; one whose aliases hold each other has billions."""


def read_yaml(file: Path) -> Mapping[str, object]:
    """The content of a config file.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not a mapping.
    """
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigError(
                f"{file} has {file.stat().st_size} bytes; expected a config of at most "
                f"{_MOST_BYTES}. Give wells in a table (wells.include)."
            )
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{file}: there is no such config in {file.absolute().parent}. Type the command in the "
            "folder of the config, give its path, or write one with `platefuse init PLATE`."
        ) from error
    except IsADirectoryError as error:
        raise ConfigError(
            f"{file} is a folder; expected a config, a YAML file. For a plate, "
            "`platefuse init PLATE` writes one."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}. Expected a YAML file in UTF-8, such as "
            "`platefuse init PLATE` writes."
        ) from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_fault(file, text, error)) from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{file} is no config: {one_line(error)}. Write it again.") from error
    check_size(content, str(file))
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"{file} holds {_short(content)}; expected a mapping of keys, for example\n"
            "plates:\n  screen: /data/screen.zarr"
        )
    return content


def check_size(content: object, where: str) -> None:
    """Check that a config does not grow without end by YAML aliases, nor holds itself.

    Raises
    ------
    ConfigError
        If it does.
    """
    pending, count = [content], 0
    while pending:
        value, count = pending.pop(), count + 1
        if isinstance(value, Mapping):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        if count + len(pending) > _MOST_VALUES:
            raise ConfigError(
                f"{where} holds more than {_MOST_VALUES} values, or holds itself by a YAML alias "
                "(`&name`, `*name`). Take the aliases out, or give wells in a table."
            )


def _syntax_fault(file: Path, text: str, error: yaml.YAMLError) -> str:
    """A message for what is no YAML: where it is, the line itself, and what to look for."""
    remedy = (
        "Look there and in the line above: keys of one level begin in the same column; indent "
        "with spaces, not tabs; a space follows each colon; text that holds `: ` or ` #` or begins "
        "with a sign is in quotes; every bracket and quote is closed."
    )
    mark = getattr(error, "problem_mark", None)
    if mark is None:  # a character that YAML does not have
        return f"{file} is not YAML: {error}. Remove the character."
    # At the end of the file the mark is behind the last line.
    lines = text.splitlines() or [""]
    number = min(mark.line, len(lines) - 1)
    shown = lines[number].replace("\t", " ")  # so that the arrow is under its place
    column = mark.column if number == mark.line else len(shown)
    problem = getattr(error, "problem", None) or "not YAML"
    return (
        f"{file}, line {number + 1}, column {column + 1}: {problem}\n"
        f"  {shown}\n  {' ' * column}^\n{remedy}"
    )


def _short(content: object) -> str:
    text = "nothing" if content is None else repr(content)
    return text if len(text) < 80 else f"{text[:80]} …"


def misread(file: str | Path) -> Iterator[str]:
    """Sentences for what YAML reads silently as something else than what is written in a file.

    Of keys that occur twice it takes the last one, 010 is octal, and 3:8 is a number of base 60.
    """
    pending = [("config", yaml.compose(Path(file).read_text(), Loader=yaml.SafeLoader))]
    while pending:
        above, node = pending.pop(0)
        if isinstance(node, yaml.ScalarNode):
            yield from _other_number(file, node)
        if isinstance(node, yaml.SequenceNode):
            pending += [(above, item) for item in node.value]
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = f"{above}.{key.value}", key.start_mark.line + 1
            if key.value in lines:
                yield (
                    f"{file}: {name} is in line {lines[key.value]} and again in line {line}, and "
                    "only the last would count. Remove one, or give it another name."
                )
            lines[key.value] = line
            pending += [(above, key), (name, value)]


def _other_number(file: str | Path, node: yaml.ScalarNode) -> Iterator[str]:
    """A sentence for a number that is not the one that a reader sees."""
    text = node.value
    if node.tag not in _NUMBERS or not re.fullmatch(r"[-+]?0[0-7_]+|.*:.*", text):
        return
    number = yaml.safe_load(text)
    if ":" in text or number != int(text, 10):
        yield (
            f"{file}, line {node.start_mark.line + 1}: YAML takes {text} for the number {number}. "
            f"If it is a name or a range, write it in quotes: '{text}'. If it is a number, write "
            "it without zeros in front and without colons."
        )
