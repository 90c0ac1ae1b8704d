"""Pages of the site that lie outside docs/, and the links between them and those inside.

Links in the pages are those of the repository, so that a code host follows them too. Here each of
them becomes the link of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

CLONE = Path(__file__).parents[1]

MOUNTED = {
    "config/README.md": "reference/config.md",
    "CHANGELOG.md": "reference/changes.md",
    "CONTRIBUTING.md": "design/contributing.md",
    "profiles/slurm/config.yaml": "files/slurm_profile.yaml",
}
"""Files of the repository, and where they are in the site."""

_IN_REPOSITORY = {site: path for path, site in MOUNTED.items()}
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
_FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that lie outside docs/."""
    from mkdocs.structure.files import File

    for path, site in MOUNTED.items():
        content = (CLONE / path).read_text(encoding="utf-8")
        files.append(File.generated(config, site, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page, which are those of the repository, into links of the site."""
    site = page.file.src_uri
    folder = posixpath.dirname(_IN_REPOSITORY.get(site, f"docs/{site}"))

    def of_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[0]))
        target = MOUNTED.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        return link[0] if target is None else posixpath.relpath(target, posixpath.dirname(site))

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(of_site, part) for part in parts)
