"""Versions of platefuse and of the libraries on which its results depend."""

from __future__ import annotations

from collections.abc import Iterator

from platefuse import __version__

_LIBRARIES = ("numpy", "scipy", "zarr", "zarrs", "numcodecs", "anndata", "snakemake")


def versions() -> dict[str, str]:
    """The versions that are installed, by name."""
    return {"platefuse": __version__, **dict(_of_libraries())}


def _of_libraries() -> Iterator[tuple[str, str]]:
    # Imported here: most steps of a well need no version.
    from importlib.metadata import PackageNotFoundError, version

    for library in _LIBRARIES:
        try:
            yield library, version(library)
        except PackageNotFoundError:  # the job of a site that has no Snakemake on its nodes
            continue
