"""Files that lie in the folder of a table and are no part of it, such as notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.ngff.chunk_files import stray_entries
from platefuse.ngff.image import others
from platefuse.ngff.metadata import ArrayMetadata, is_node
from platefuse.ngff.tables.anndata_format import MAPPINGS
from platefuse.ngff.tables.backends import BACKENDS, backend_of
from platefuse.storage.small_arrays import is_array

_FILES = ("table", "table.csv", "table.json", "table.parquet")
_ANNDATA = ("X", "obs", "var", "raw", *MAPPINGS)


def stray_files(table: Path) -> list[Path]:
    """Files and folders in a table's group that its backend does not know: notes, for example.

    Parameters
    ----------
    table : Path
        The table's group; it need not exist. All that a table of an unknown backend holds is taken
        for part of it.
    """
    backend = backend_of(table) if table.is_dir() else None
    if backend not in BACKENDS:
        return []
    known = _ANNDATA if backend == "anndata" else _FILES
    return [
        *others(table, known),
        *(path for name in known for path in _below(table / name)),
    ]


def _below(node: Path) -> Iterator[Path]:
    """What is no Zarr node and no chunk in a group or an array, and in all that it holds."""
    if is_array(node):
        with suppress(PlatefuseError):  # of broken metadata: nobody knows which chunks it has
            yield from stray_entries(node, ArrayMetadata.read(node))
        return
    for child in others(node, ()):
        if child.is_dir() and is_node(child):
            yield from _below(child)
        else:
            yield child
