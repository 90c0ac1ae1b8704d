from __future__ import annotations

from pathlib import Path

import pytest

from platefuse.errors import ImageError, PlateError
from platefuse.ngff.labels import absent_labels, label_groups, label_names


def write(label: Path) -> None:
    label.mkdir(parents=True)
    (label / ".zattrs").write_text('{"multiscales": []}')


def listed(image: Path, text: str) -> None:
    (image / "labels" / ".zattrs").write_text(f'{{"labels": {text}}}')


def test_labels_are_those_listed_and_those_that_are_there(tmp_path: Path) -> None:
    assert label_names(tmp_path) == absent_labels(tmp_path) == []
    for name in ("b", "a"):
        write(tmp_path / "labels" / name)
    (tmp_path / "labels" / "no_image").mkdir()
    assert label_names(tmp_path) == ["a", "b"]
    listed(tmp_path, '["b"]')
    assert label_names(tmp_path) == ["b", "a"]
    assert absent_labels(tmp_path) == []
    listed(tmp_path, '["gone", "b"]')
    assert label_names(tmp_path) == ["b", "a"]
    assert absent_labels(tmp_path) == ["gone"]


@pytest.mark.parametrize("names", [label_names, absent_labels])
def test_a_list_of_labels_that_cannot_be_used(tmp_path: Path, names: object) -> None:
    assert callable(names)
    write(tmp_path / "labels" / "b")
    listed(tmp_path, '["../b"]')
    with pytest.raises(PlateError, match="not safe as a path"):
        names(tmp_path)
    listed(tmp_path, "3")
    with pytest.raises(ImageError, match="the list `labels` is 3; expected a list of names"):
        names(tmp_path)


def test_labels_in_groups(tmp_path: Path) -> None:
    for name in ("original/0", "original/1"):
        write(tmp_path / "labels" / name)
    (tmp_path / "labels" / "original" / ".zgroup").write_text("{}")
    assert label_names(tmp_path) == ["original/0", "original/1"]
    assert label_groups(label_names(tmp_path)) == ["original"]
