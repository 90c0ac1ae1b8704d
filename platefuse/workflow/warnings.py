"""What is odd in a plate, told by warnings of the package's logger while the plate is checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_MOST = 20


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """A list that gets each warning of the package's logger once, in place of the terminal."""
    found: dict[str, None] = {}
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found[record.getMessage()] = None

    logger, collector = logging.getLogger("platefuse"), Collector(logging.WARNING)
    logger.addHandler(collector)
    try:
        yield messages
    finally:
        logger.removeHandler(collector)
        messages += found


def some_of(messages: Sequence[str]) -> Iterator[str]:
    """The first of many warnings, and the number of the others."""
    yield from messages[:_MOST]
    if len(messages) > _MOST:
        yield f"and {len(messages) - _MOST} more like these"
