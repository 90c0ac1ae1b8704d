"""Where things go that are made from a plate: folders beside it."""

from __future__ import annotations

from pathlib import Path

from platefuse.errors import PlateError


def staging_root(plate: Path) -> Path:
    """The folder beside a plate where its images are made and kept before they are live."""
    return plate.parent / f"{plate.name}.staging"


def staging_folder(plate: Path, row: str, column: str) -> Path:
    """The folder beside a plate for what is made of one of its wells.

    Raises
    ------
    PlateError
        If a file lies in its place, or a link leads out of the plate's staging folder.
    """
    root = staging_root(plate)
    folder = root / row / column
    for part in (root, root / row, folder):
        if part.is_file():
            raise PlateError(
                f"{part} is a file, and has the name of the folder where new images are made "
                "before they are live. Move it away or give it another name."
            )
    if not folder.resolve().is_relative_to(root.resolve()):
        raise PlateError(
            f"{folder} leads out of the staging folder {root} through a link. What lies there "
            "is replaced and removed; take the link away."
        )
    return folder


def fused_plate_path(plate: str | Path, output: str | None = None) -> Path:
    """Where the fused plate goes: `output`, or ``<plate>_fused.zarr`` beside the plate."""
    path = Path(plate)
    name = path.name.removesuffix(".zarr")
    return Path(output) if output else path.with_name(f"{name}_fused.zarr")
