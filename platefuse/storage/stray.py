"""Files that systems and file managers leave in folders: nobody's work, and no part of an array."""

from __future__ import annotations

import re

_STRAY = re.compile(
    r"\.DS_Store|\._.*|\.localized|Thumbs\.db|ehthumbs\.db|desktop\.ini|\.directory"
    r"|\.nfs[0-9a-fA-F]+|\.fuse_hidden[0-9a-fA-F]+",
    re.IGNORECASE,
)


def is_stray(name: str) -> bool:
    """Whether a file has a name that macOS, Windows, KDE, NFS or FUSE give to files of their own.

    Such files come and go when somebody looks at a folder, so they say nothing about its content.

    Examples
    --------
    >>> [is_stray(name) for name in (".DS_Store", "._0", "Thumbs.db", ".nfs00a1", ".zattrs", "0.0")]
    [True, True, True, True, False, False]
    """
    return _STRAY.fullmatch(name) is not None
