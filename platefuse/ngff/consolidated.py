"""Consolidated metadata: copies of all metadata below a group, which readers prefer to the files.

`zarr.consolidate_metadata` writes them: for Zarr v2 the file ``.zmetadata``, for v3 a part of the
group's ``zarr.json``. Such a copy does not follow a change below the group. So whoever changes
something below a group removes its copy first: readers then read the files, which are right at
every instant, also after a kill.
"""

from __future__ import annotations

import logging
from pathlib import Path

from platefuse.errors import MetadataError
from platefuse.ngff.metadata import all_attributes, is_consolidated
from platefuse.ngff.zarr_format import CONSOLIDATED_FILE, V3
from platefuse.storage.files import find_json, read_json, write_json
from platefuse.storage.flush import flush_folder
from platefuse.storage.typed_json import JsonObject, object_of

logger = logging.getLogger(__name__)


def drop_consolidated(node: Path) -> None:
    """Remove the consolidated metadata of all groups above a node that is about to change.

    Parameters
    ----------
    node : Path
        An image, a well or another node; it need not exist.
    """
    for group in node.absolute().parents:
        if has_consolidated(group):
            remove_consolidated(group)
            flush_folder(group)  # on disk before the change is
            logger.warning(
                "%s: its consolidated metadata are removed, because they do not tell of what is "
                "written below it. If you need them, call zarr.consolidate_metadata again.",
                group,
            )


def drop_stale(node: Path) -> None:
    """Remove the consolidated metadata above a node that have other attributes than the node.

    Earlier versions of platefuse left such metadata.
    """
    own, node = all_attributes(node), node.absolute()
    for group in node.parents:
        if has_consolidated(group) and _attributes_in(group, node) != own:
            drop_consolidated(group / node.name)


def has_consolidated(group: Path) -> bool:
    """Whether a group, if it is one, holds a copy of the metadata below it."""
    return (group / CONSOLIDATED_FILE).is_file() or is_consolidated(group)


def remove_consolidated(group: Path) -> None:
    """Remove the consolidated metadata of one group, if it has any."""
    (group / CONSOLIDATED_FILE).unlink(missing_ok=True)
    if is_consolidated(group):
        content = read_json(group / V3.group_file)
        rest = {key: value for key, value in content.items() if key != "consolidated_metadata"}
        write_json(group / V3.group_file, rest)


def _attributes_in(group: Path, node: Path) -> JsonObject | None:
    """The attributes of a node as the consolidated metadata of a group above it have them."""
    name = node.relative_to(group).as_posix()
    try:
        old = object_of((find_json(group, CONSOLIDATED_FILE) or {}).get("metadata"))
        new = object_of((find_json(group, V3.group_file) or {}).get("consolidated_metadata"))
    except MetadataError:
        return None
    if old:
        return object_of(old.get(f"{name}/.zattrs"))
    return object_of(object_of(object_of(new.get("metadata")).get(name)).get("attributes"))
