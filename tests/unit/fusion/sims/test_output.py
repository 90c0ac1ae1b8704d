"""What `fuse` writes: arrays and OME-Zarr images, by threads or by the caller's batches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Zstd
from numpy.typing import NDArray
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v04 import Image as Image04
from ome_zarr_models.v05 import Image as Image05

from platefuse import fuse
from platefuse.engine.compose import Blend
from platefuse.engine.downsample import mean
from platefuse.errors import ConfigError, ImageError, PlatefuseError
from platefuse.fusion.signatures import BatchOptions, NgffVersion, ZarrOptions
from platefuse.geometry import Box
from platefuse.records import FusedOutputRecord
from platefuse.storage.flush import Writes
from platefuse.testing import make_plate
from tests.fused import BARE, WELL, everything
from tests.sims import KEY, cut

Array = NDArray[Any]
SCENE = np.random.default_rng(0).integers(1, 60000, (2, 3, 70, 90)).astype("u2")
HALVES = (((0, 0, 0), (3, 70, 50)), ((0, 0, 40), (3, 70, 90)))
SPACING = [2.0, 0.5, 0.25]


def sims() -> list[xarray.DataArray]:
    return cut(SCENE, "czyx", HALVES, spacing=SPACING, channels=["DAPI", "WGA"])


def write(path: Path, **options: Any) -> Any:
    asked: dict[str, Any] = {"output_chunksize": {"z": 1, "y": 32, "x": 40}, **options}
    return fuse(sims(), KEY, output_zarr_url=str(path), **asked)


def test_a_plain_array(tmp_path: Path) -> None:
    fused = write(tmp_path / "a" / "fused.zarr")
    array = zarr.open_array(tmp_path / "a" / "fused.zarr", mode="r")
    np.testing.assert_array_equal(array[...], SCENE)
    np.testing.assert_array_equal(fused.values, SCENE)
    assert array.chunks == fused.data.chunksize == (1, 1, 32, 40)
    np.testing.assert_allclose(fused.coords["x"], 0.25 * np.arange(90))
    assert fused.coords["c"].values.tolist() == ["DAPI", "WGA"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["fused.zarr"]


@pytest.mark.parametrize(("version", "sharded"), [("0.4", False), ("0.5", False), ("0.5", True)])
def test_an_ome_zarr_image(version: NgffVersion, sharded: bool, tmp_path: Path) -> None:
    path = tmp_path / "fused.ome.zarr"
    options: ZarrOptions = {"ome_zarr": True, "ngff_version": version}
    if sharded:
        options["zarr_array_creation_kwargs"] = {"shards": (1, 3, 300, 400)}
    large = np.random.default_rng(0).integers(1, 60000, (2, 3, 600, 700)).astype("u2")
    boxes = [((0, 0, 0), (3, 600, 400)), ((0, 0, 300), (3, 600, 700))]
    views = cut(large, "czyx", boxes, spacing=SPACING, channels=["DAPI", "WGA"])
    fused = fuse(
        views,
        KEY,
        output_origin={"z": 0.0, "y": 0.0, "x": 0.0},
        output_chunksize={"z": 1, "y": 150, "x": 200},
        output_zarr_url=str(path),
        zarr_options=options,
    )
    np.testing.assert_array_equal(fused.values, large)
    group = zarr.open_group(path, mode="r")
    levels = [group[name] for name in sorted(group.array_keys())]
    assert [level.shape for level in levels] == [(2, 3, 600, 700), (2, 3, 300, 350)]  # type: ignore[union-attr]
    assert [level.metadata.zarr_format for level in levels] == [2 if version == "0.4" else 3] * 2
    if sharded:
        assert levels[0].shards == (1, 3, 300, 400)  # type: ignore[union-attr]
    half = mean(large, (1, 1, 2, 2), (2, 3, 300, 350))
    np.testing.assert_array_equal(levels[1][...], half)  # type: ignore[index]
    kind: Any = Image04 if version == "0.4" else Image05
    model = kind.from_zarr(group)
    attributes = model.attributes if version == "0.4" else model.attributes.ome
    (multiscale,) = attributes.multiscales
    scale, translation = multiscale.datasets[1].coordinateTransformations
    assert list(scale.scale) == [1, 2, 1, 0.5]
    assert list(translation.translation) == [0, 0, 0.25, 0.125]
    location = parse_url(path)
    assert location is not None
    (node,) = Reader(location)()
    np.testing.assert_array_equal(node.data[0], large)
    assert node.metadata["channel_names"] == ["DAPI", "WGA"]


def test_creation_keywords(tmp_path: Path) -> None:
    creation = {"compressors": Zstd(1), "fill_value": 5, "zarr_format": 2}
    write(tmp_path / "f.zarr", zarr_options={"zarr_array_creation_kwargs": creation})
    metadata = json.loads((tmp_path / "f.zarr" / ".zarray").read_text())
    assert metadata["compressor"]["id"] == "zstd"
    assert metadata["fill_value"] == 5
    # by the names of `zarr.create`, and from where the seed reads them
    creation = {"compressor": None, "dimension_separator": "/", "chunks": (1, 1, 35, 45)}
    fused = write(
        tmp_path / "g.zarr",
        zarr_options={"ome_zarr": True},
        batch_options={"zarr_array_creation_kwargs": creation},
    )
    metadata = json.loads((tmp_path / "g.zarr" / "0" / ".zarray").read_text())
    assert metadata["compressor"] is None
    assert metadata["chunks"] == [1, 1, 35, 45]
    assert (tmp_path / "g.zarr" / "0" / "0" / "0" / "0" / "0").is_file()
    np.testing.assert_array_equal(fused.values, SCENE)


@pytest.mark.parametrize("batch_func", [None, lambda fuse, blocks: [fuse(b) for b in blocks]])
def test_where_no_view_lies_zeros_are_written_whatever_the_fill_value(
    batch_func: Any, tmp_path: Path
) -> None:
    fused = write(
        tmp_path / "f.zarr",
        batch_options={"batch_func": batch_func},
        output_origin={"z": 0, "y": 0, "x": 0},
        output_shape={"z": 3, "y": 70, "x": 200},
        zarr_options={"zarr_array_creation_kwargs": {"fill_value": 7}},
    )
    np.testing.assert_array_equal(fused.values[..., :90], SCENE)
    assert not fused.values[..., 90:].any()


@settings(max_examples=15)
@given(data=st.data(), version=st.sampled_from([None, "0.4", "0.5"]), unit=st.integers(25, 70))
def test_however_it_is_stored_the_pixels_are_the_same(
    data: st.DataObject, version: str | None, unit: int
) -> None:
    """Plain or OME-Zarr; chunks and shards of any size, also beyond the image; batches or not."""
    creation: dict[str, Any] = {"fill_value": data.draw(st.sampled_from([0, 7]))}
    if version is None:
        creation["zarr_format"] = data.draw(st.sampled_from([2, 3]))
    if (version == "0.5" or creation.get("zarr_format") == 3) and data.draw(st.booleans()):
        creation["shards"] = (2, 1, unit * data.draw(st.integers(1, 4)), unit * 5)
    elif data.draw(st.booleans()):
        creation["chunks"] = (1, 2, unit + 1, data.draw(st.sampled_from([29, 200])))
    batch: dict[str, Any] = {"n_batch": data.draw(st.sampled_from([1, 5]))}
    if data.draw(st.booleans()):
        batch["batch_func"] = lambda fuse_block, blocks: [fuse_block(b) for b in blocks[::-1]]
    zarr_options = {"zarr_array_creation_kwargs": creation, "ome_zarr": version is not None}
    with TemporaryDirectory() as folder:
        fused = write(
            Path(folder) / "f.zarr",
            output_chunksize={"z": 1, "y": unit, "x": unit},
            output_origin={"z": -4, "y": -10, "x": -5},
            output_shape={"z": 6, "y": 90, "x": 120},
            zarr_options=zarr_options | ({"ngff_version": version} if version else {}),
            batch_options=batch,
        )
        pixels = fused.values
    np.testing.assert_array_equal(pixels[:, 2:5, 20:, 20:110], SCENE)
    pixels[:, 2:5, 20:, 20:110] = 0
    assert not pixels.any()


class TestOverwrite:
    def test_what_is_there_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "f.zarr"
        write(path, zarr_options={"ome_zarr": True})
        write(path)
        assert not (path / "0" / ".zarray").exists()
        np.testing.assert_array_equal(zarr.open_array(path, mode="r")[...], SCENE)
        assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    @pytest.mark.parametrize("gone", ["a level", "its metadata", "a level and its chunks", "all"])
    def test_a_damaged_image_is_replaced(
        self, tmp_path: Path, version: NgffVersion, gone: str
    ) -> None:
        path, options = tmp_path / "f.zarr", ZarrOptions(ome_zarr=True, ngff_version=version)
        sound = write(path, zarr_options=options).values
        for level in sorted(path.glob("[0-9]")):
            if gone == "its metadata":
                (level / (".zarray" if version == "0.4" else "zarr.json")).unlink()
            elif gone == "all" or level.name == "0":
                shutil.rmtree(level)
                if gone == "a level":  # an empty folder is left
                    level.mkdir()
        np.testing.assert_array_equal(write(path, zarr_options=options).values, sound)
        assert zarr.open_array(path / "0", mode="r").shape == SCENE.shape

    def test_what_lies_in_a_damaged_image_is_not_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "f.zarr"
        write(path, zarr_options={"ome_zarr": True})
        (path / "0" / ".zarray").unlink()
        (path / "0" / "notes.txt").write_text("mine")
        with pytest.raises(ImageError, match=r"would be lost: 0/notes.txt\."):
            write(path)
        assert (path / "0" / "notes.txt").exists()

    def test_unless_it_must_not(self, tmp_path: Path) -> None:
        path = tmp_path / "f.zarr"
        path.mkdir()
        (path / "precious").write_text("data")
        with pytest.raises(ImageError, match=r"exists already.*overwrite"):
            write(path, zarr_options={"overwrite": False})
        assert [p.name for p in path.iterdir()] == ["precious"]
        assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]

    @pytest.mark.parametrize("other", ["thesis.txt", "labels", "B"])
    @pytest.mark.parametrize("is_image", [False, True])
    def test_nothing_is_replaced_that_fuse_does_not_write(
        self, other: str, is_image: bool, tmp_path: Path
    ) -> None:
        path = tmp_path / "f.zarr"
        if is_image:
            write(path, zarr_options={"ome_zarr": True})
        (path / other).mkdir(parents=True)
        with pytest.raises(ImageError, match=rf"would be lost: {other}\."):
            write(path)
        assert (path / other).is_dir()
        assert (path / ".zattrs").exists() == is_image

    @pytest.mark.parametrize("other", ["masks/mine.txt", "notes.txt", "0/notes.txt"])
    @pytest.mark.parametrize("is_image", [False, True])
    def test_files_among_the_chunks_are_not_lost(
        self, other: str, is_image: bool, tmp_path: Path
    ) -> None:
        path = tmp_path / "f.zarr"
        for _ in range(2):  # its own chunks are replaced
            write(path, zarr_options={"ome_zarr": is_image})
        file = path / "0" / other if is_image else path / other
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("data")
        with pytest.raises(ImageError, match=rf"would be lost: (0/)?{other}\."):
            write(path)
        assert file.read_text() == "data"

    @pytest.mark.parametrize("ome_zarr", [False, True])
    @pytest.mark.parametrize("what", ["an image", "an array"])
    def test_what_fuse_did_not_make_is_never_replaced(
        self, what: str, ome_zarr: bool, tmp_path: Path
    ) -> None:
        path = tmp_path / "raw.zarr"
        if what == "an image":
            make_plate(tmp_path / "p.zarr", replace(BARE, labels=(), tables=()))
            shutil.copytree(tmp_path / "p.zarr" / WELL / "0", path)
        else:
            zarr.create_array(path, shape=(9, 9), dtype="u2")[...] = 7
        before = everything(path)
        for overwrite in (True, False):
            with pytest.raises(ImageError, match="exists already"):
                write(path, zarr_options={"ome_zarr": ome_zarr, "overwrite": overwrite})
        assert everything(path) == before

    def test_changed_pixels_are_not_lost(self, tmp_path: Path) -> None:
        path = tmp_path / "f.zarr"
        for _ in range(2):
            write(path)
        zarr.open_array(path, mode="r+")[0, 0, 0, 0] = 7
        with pytest.raises(ImageError, match=r"lost: \. \(its pixels are changed\)"):
            write(path)

    def test_what_is_added_while_it_is_fused_is_not_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, write_record = tmp_path / "f.zarr", FusedOutputRecord.write
        write(path)

        def meanwhile(record: FusedOutputRecord, group: Path) -> None:
            (path / "notes.txt").write_text("mine")
            write_record(record, group)

        monkeypatch.setattr(FusedOutputRecord, "write", meanwhile)
        with pytest.raises(ImageError, match=r"would be lost: notes\.txt\."):
            write(path)
        assert (path / "notes.txt").read_text() == "mine"
        assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]

    def test_stray_files_do_not_count(self, tmp_path: Path) -> None:
        for _ in range(2):
            write(tmp_path / "f.zarr")
            (tmp_path / "f.zarr" / ".DS_Store").touch()
        (tmp_path / "g.zarr").mkdir()
        (tmp_path / "g.zarr" / "Thumbs.db").touch()
        write(tmp_path / "g.zarr")

    @pytest.mark.parametrize("place", ["f.zarr", "B/f.zarr", "B/03/0", "B/03/0/labels/f", "link"])
    def test_nothing_is_written_into_another_group(self, place: str, tmp_path: Path) -> None:
        plate = tmp_path / "p.zarr"
        make_plate(plate, replace(BARE, labels=(), tables=()))
        (tmp_path / "link").symlink_to(plate / WELL)
        before = everything(plate)
        with pytest.raises(PlatefuseError, match=r"lies inside .*p\.zarr.*, which is a Zarr group"):
            write(tmp_path / "link" / "f.zarr" if place == "link" else plate / place)
        assert everything(plate) == before

    def test_a_link_to_itself_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "f.zarr").symlink_to(tmp_path / "f.zarr")
        with pytest.raises(PlatefuseError, match=r"output_zarr_url .*f.zarr"):
            write(tmp_path / "f.zarr")

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "scratch").mkdir()
        (tmp_path / "f.zarr").symlink_to(tmp_path / "scratch")
        fused = write(tmp_path / "f.zarr")
        assert (tmp_path / "f.zarr").is_symlink()
        np.testing.assert_array_equal(fused.values, SCENE)
        array = zarr.open_array(tmp_path / "scratch", mode="r")
        np.testing.assert_array_equal(array[...], SCENE)

    @pytest.mark.parametrize("name", ["file/f.zarr", "file", 300 * "x"])
    def test_what_the_file_system_refuses(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("data")
        with pytest.raises(PlatefuseError, match="output_zarr_url"):
            write(tmp_path / name)
        assert [p.name for p in tmp_path.iterdir()] == ["file"]

    def test_what_cannot_be_written_or_removed_is_found_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ImageError, match="has 240 bytes"):
            write(tmp_path / ("x" * 240))
        write(tmp_path / "f.zarr")

        def protected(folder: Path, what: str, kind: type[Exception]) -> None:
            raise kind(f"{what}: {folder} is protected")

        monkeypatch.setattr("platefuse.fusion.sims.output.check_removable", protected)
        with pytest.raises(ImageError, match=r"f\.zarr is protected"):
            write(tmp_path / "f.zarr")
        assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]

    def test_what_the_file_system_refuses_meanwhile(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(record: FusedOutputRecord, group: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(FusedOutputRecord, "write", full)
        with pytest.raises(ImageError, match=r"f\.zarr' cannot be written .*No space left.*Check"):
            write(tmp_path / "f.zarr")
        assert list(tmp_path.iterdir()) == []

    def test_an_image_may_be_fused_into_its_own_place(self, tmp_path: Path) -> None:
        path = tmp_path / "f.zarr"
        fused = write(path)
        np.testing.assert_array_equal(
            fuse([fused], KEY, output_chunksize=33, output_zarr_url=str(path)).values, SCENE
        )

    def test_what_was_there_stays_if_it_fails(self, tmp_path: Path) -> None:
        path = tmp_path / "f.zarr"
        write(path)

        def fails(transformed_views: Array) -> Array:
            raise RuntimeError("not today")

        with pytest.raises(RuntimeError, match="not today"):
            write(path, fusion_func=fails)
        np.testing.assert_array_equal(zarr.open_array(path, mode="r")[...], SCENE)
        assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]


class TestBatches:
    @pytest.mark.parametrize("ome_zarr", [False, True])
    @pytest.mark.parametrize("n_batch", [1, 7, 1000])
    def test_every_block_is_in_one_batch(
        self, n_batch: int, ome_zarr: bool, tmp_path: Path
    ) -> None:
        batches: list[list[Any]] = []

        def batch_func(
            fuse_block: Callable[[Any], None], blocks: Iterable[Any], **given: Any
        ) -> None:
            assert given == {"extra": 1}
            batches.append(list(blocks))
            for block in batches[-1][::-1]:
                fuse_block(block)

        batch_options = {
            "batch_func": batch_func,
            "n_batch": n_batch,
            "batch_func_kwargs": {"extra": 1},
        }
        plain = write(tmp_path / "plain.zarr", zarr_options={"ome_zarr": ome_zarr})
        fused = write(
            tmp_path / "f.zarr", zarr_options={"ome_zarr": ome_zarr}, batch_options=batch_options
        )
        np.testing.assert_array_equal(fused.values, plain.values)
        blocks = [block for batch in batches for block in batch]
        assert sorted(blocks) == list(np.ndindex(2, 3, 3, 3))
        assert {len(batch) for batch in batches[:-1]} <= {n_batch}
        one, other = everything(tmp_path / "f.zarr"), everything(tmp_path / "plain.zarr")
        if ome_zarr:  # the names of the images
            for content in (one, other):
                content[Path(".zattrs")]["multiscales"][0].pop("name")
                content[Path(".zattrs")]["platefuse"]["fuse"]["written"]["groups"].clear()
        assert one == other

    def test_levels_come_from_what_batches_wrote(self, tmp_path: Path) -> None:
        scene = np.random.default_rng(0).integers(0, 255, (700, 1100)).astype("u1")
        views = cut(scene, "yx", [((0, 0), (700, 600)), ((0, 500), (700, 1100))])
        options: dict[str, Any] = {"output_chunksize": 256, "zarr_options": {"ome_zarr": True}}
        each: BatchOptions = {
            "batch_func": lambda fuse_block, blocks: [fuse_block(b) for b in blocks]
        }
        fuse(views, KEY, output_zarr_url=str(tmp_path / "a"), batch_options=each, **options)
        fuse(views, KEY, output_zarr_url=str(tmp_path / "b"), **options)
        for level in "012":
            one, other = (zarr.open_array(tmp_path / p / level, mode="r")[...] for p in "ab")
            np.testing.assert_array_equal(one, other)
            assert one.any()  # type: ignore[union-attr]

    def test_blocks_may_be_written_by_other_processes(self, tmp_path: Path) -> None:
        def batch_func(fuse_block: Callable[[Any], None], blocks: Iterable[Any]) -> None:
            work = cloudpickle.dumps(fuse_block)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                pool.submit(_run, work, list(blocks)).result()

        fused = write(
            tmp_path / "f.zarr",
            batch_options={"batch_func": batch_func, "n_batch": 1000},
            zarr_options={"zarr_array_creation_kwargs": {"shards": (1, 3, 64, 80)}},
        )
        np.testing.assert_array_equal(fused.values, SCENE)


def _run(work: bytes, blocks: list[Any]) -> None:
    fuse_block = cloudpickle.loads(work)
    for block in blocks:
        fuse_block(block)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"zarr_options": {"ome_zar": True}}, "unknown keys ['ome_zar']"),
        ({"batch_options": {"n_batches": 3}}, "unknown keys ['n_batches']"),
        ({"zarr_options": {"ome_zarr": True, "ngff_version": "0.3"}}, "'0.3'"),
        ({"zarr_options": {"zarr_array_creation_kwargs": {"shards": (1, 1, 33, 40)}}}, "shards"),
        ({"zarr_options": {"zarr_array_creation_kwargs": {"sherds": 3}}}, "sherds"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        write(tmp_path / "f.zarr", **options)
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_only_folders_are_written_to() -> None:
    with pytest.raises(PlatefuseError, match=r"s3://bucket/f\.zarr"):
        fuse(sims(), KEY, output_zarr_url="s3://bucket/f.zarr")


def test_a_new_output_is_not_flushed_and_one_that_replaces_another_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("arrays.begin_flush", "files.flush_folder"):
        monkeypatch.setattr(f"platefuse.storage.{name}", lambda path, name=name: asked.append(name))
    monkeypatch.setattr(Writes, "flush", lambda _, path: asked.append("flush"))
    path = str(tmp_path / "fused.zarr")
    fuse(sims(), transform_key=KEY, output_zarr_url=path, zarr_options={"ome_zarr": True})
    assert asked == []
    fuse(sims(), transform_key=KEY, output_zarr_url=path, zarr_options={"ome_zarr": True})
    assert asked == ["flush", "files.flush_folder"]


def test_a_batch_asks_only_the_views_that_touch_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = np.arange(40 * 120, dtype="u2").reshape(40, 120)
    views = cut(scene, "yx", [((0, x), (40, x + 40)) for x in (0, 40, 80)])
    composed: list[int] = []
    compose = Blend.compose

    def watched(self: Blend, region: Box, views: Any, *rest: Any) -> Any:
        composed.append(len(views))
        return compose(self, region, views, *rest)

    monkeypatch.setattr(Blend, "compose", watched)
    each: Any = {"batch_func": lambda fuse_block, blocks: [fuse_block(b) for b in blocks]}
    fused = fuse(
        views, KEY, output_zarr_url=str(tmp_path / "a"), output_chunksize=40, batch_options=each
    )
    np.testing.assert_array_equal(fused.values, scene)
    assert composed == [1, 1, 1]
