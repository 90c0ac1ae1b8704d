"""What platefuse wrote into a group: the part of a record that tells later what others added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class WrittenArray:
    """An array with pixels. Its chunks have no digest: it would take as long as fusing.

    Attributes
    ----------
    metadata : str
        Digest of its metadata and attributes.
    files, nbytes : int
        Number of its chunk files, and their bytes together.
    """

    metadata: str
    files: int
    nbytes: int


@dataclass(frozen=True)
class Written:
    """All that platefuse wrote into a group, by paths in it; ``"."`` is the group itself.

    Attributes
    ----------
    groups : mapping of str to mapping of str to str
        For each group, digests of its attributes by their keys.
    arrays : mapping of str to WrittenArray
        The arrays with pixels.
    tables : mapping of str to str
        For each table, the digest of its files.
    newest_ns : int
        Time of the last modification of any chunk, in nanoseconds.
    """

    groups: Mapping[str, Mapping[str, str]]
    arrays: Mapping[str, WrittenArray]
    tables: Mapping[str, str]
    newest_ns: int
