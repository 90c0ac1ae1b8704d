"""Commands and snippets of the documentation run as they are written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from platefuse.cli import main
from tests.fields_plate import FieldsPlate
from tests.pages import CLONE, read_steps, run_page

SMALL = ("--wells", "B/02", "--grid", "1", "2", "--field-shape", "128", "160")
PAGES = [
    page
    for page in (CLONE / "README.md", *sorted((CLONE / "docs").rglob("*.md")))
    if read_steps(page.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plates that the pages name: raw, with registered tables, and with fields as images."""
    folder = tmp_path_factory.mktemp("plates")
    assert main(["example", "--raw", *SMALL, str(folder / "screen.zarr")]) == 0
    assert main(["example", *SMALL, str(folder / "plate.zarr")]) == 0
    FieldsPlate({"B/02": {0: 4, 1: 4}}).write(folder / "converted.zarr")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(CLONE)) for page in PAGES])
def test_a_page_runs(
    page: Path, plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(plates, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_page(page, tmp_path)


def test_every_how_to_has_something_that_runs() -> None:
    how_tos = set((CLONE / "docs" / "how-to").glob("*.md"))
    assert how_tos
    assert not how_tos - set(PAGES)


def test_a_page_that_fails_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n<!-- run -->\n```sh\nfalse\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 5"):
        run_page(page, tmp_path)
