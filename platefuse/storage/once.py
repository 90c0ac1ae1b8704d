"""Read each file once while many things are checked that need it.

Within `reading_once` a function with the decorator `read_once` runs once for each set of arguments.
Nothing may be written meanwhile to what is read. Outside, the decorator does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_results: ContextVar[dict[tuple[object, ...], object] | None] = ContextVar("results", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Keep the results of all functions with the decorator `read_once` until the block ends.

    A block in another one keeps them until the outer one ends.
    """
    if _results.get() is not None:
        yield
        return
    token = _results.set({})
    try:
        yield
    finally:
        _results.reset(token)


def read_once(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function that reads files run once for each set of arguments; see `reading_once`.

    The callers share the result and must not change it. An error is not kept.

    Examples
    --------
    >>> @read_once
    ... def read(name):
    ...     print("reading", name)
    ...     return name.upper()
    >>> with reading_once():
    ...     read("a"), read("a")
    reading a
    ('A', 'A')
    >>> read("a")
    reading a
    'A'
    """

    @wraps(function)
    def once(*args: P.args, **kwargs: P.kwargs) -> R:
        results = _results.get()
        if results is None:
            return function(*args, **kwargs)
        key = (function, args, tuple(sorted(kwargs.items())) if kwargs else ())
        if key not in results:
            results[key] = function(*args, **kwargs)
        found: R = results[key]  # type: ignore[assignment]  # of this function
        return found

    return once
