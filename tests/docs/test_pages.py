"""Commands and snippets of the documentation run as they are written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from platefuse.__main__ import main
from tests.fields_plate import FieldsPlate
from tests.pages import CLONE, FINISHED, Step, read_steps, run_page, run_shell

FIELDS = ("--grid", "1", "2", "--field-shape", "128", "160")
CONFIG = "plates: {screen: screen.zarr}\nregistration: {store: false, measure: {enabled: true}}\n"
README = CLONE / "README.md"
PAGES = [
    page
    for page in (README, *sorted((CLONE / "docs").rglob("*.md")))
    if read_steps(page.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plates that the pages name: raw, with registered tables, and with fields as images."""
    folder = tmp_path_factory.mktemp("plates")
    assert main(["example", "--raw", "--wells", "B/02", *FIELDS, str(folder / "screen.zarr")]) == 0
    assert main(["example", "--wells", "B/02", *FIELDS, str(folder / "plate.zarr")]) == 0
    FieldsPlate({"B/02": {0: 4, 1: 4}}).write(folder / "converted.zarr")
    return folder


@pytest.fixture(scope="session")
def finished(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw plate, its fused plate and its results."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(plates / "screen.zarr", folder / "screen.zarr")
    (folder / "c.yaml").write_text(CONFIG, encoding="utf-8")
    run_shell(Step("shell", "platefuse run c.yaml", 1), README, folder)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(CLONE)) for page in PAGES])
def test_a_page_runs(
    page: Path,
    plates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    shutil.copytree(plates, tmp_path, dirs_exist_ok=True)
    if FINISHED in page.read_text(encoding="utf-8"):
        shutil.copytree(request.getfixturevalue("finished"), tmp_path, dirs_exist_ok=True)
    if page == README:  # its examples name two wells
        shutil.rmtree(tmp_path / "plate.zarr")
        wells = ("--wells", "B/02", "B/03")
        assert main(["example", *wells, *FIELDS, os.fspath(tmp_path / "plate.zarr")]) == 0
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
