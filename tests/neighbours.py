"""Another process that works on the same plate and tidies its staging folder all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from platefuse.storage.locks import tidy_shared_folder


def tidy_after_every_new_folder(monkeypatch: pytest.MonkeyPatch, shared: Path) -> list[Path]:
    """Let another user of a shared folder tidy it whenever a folder is made below it.

    Returns
    -------
    list of Path
        The folders after which it was tidied; filled later.
    """
    mkdir, tidied = Path.mkdir, list[Path]()

    def make_and_tidy(
        path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False
    ) -> None:
        mkdir(path, mode, parents, exist_ok)
        if shared in path.parents and path not in tidied:
            tidied.append(path)
            tidy_shared_folder(shared)

    monkeypatch.setattr(Path, "mkdir", make_and_tidy)
    return tidied
