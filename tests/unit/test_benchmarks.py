"""The harness of the benchmarks: what it computes, and one tiny run of it without peers."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from benchmarks import (
    accuracy,
    compare,
    data,
    envs,
    measure,
    raw,
    registration,
    report,
    scenes,
    well,
)
from benchmarks.compare import LIMITS
from benchmarks.fusion import CASES, Case, run_case
from benchmarks.jobs import codec, protocol, sims
from benchmarks.registration import run_registration
from benchmarks.same_plates import files
from benchmarks.same_plates.__main__ import compare_case
from benchmarks.same_plates.cases import CASES as SAME_PLATES_CASES
from benchmarks.tables import Section, Table
from platefuse.measuring.pair.measure import measure_shift
from platefuse.testing import make_plate

TINY = scenes.FieldsSpec("tiny", field_shape=(2, 40, 50), channels=2, jitter_px=(0, 2, 2))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the benchmarks make goes to a folder of the test."""
    monkeypatch.setattr(data, "HOME", tmp_path / "data")
    return tmp_path


def result(call_s: float) -> measure.Result:
    return measure.Result(call_s, call_s + 1, call_s, 100)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class TestMeasuring:
    def test_every_side_runs_once_a_round_and_each_round_begins_with_another(self) -> None:
        ran: list[str] = []

        def side(name: str) -> compare.Run:
            def run() -> measure.Result:
                ran.append(name)
                return result(1)

            return run

        found = measure.interleave({name: side(name) for name in "abc"}, 3)
        assert "".join(ran) == "abcbcacab"
        assert all(isinstance(one, list) and len(one) == 3 for one in found.values())

    def test_a_side_that_fails_is_not_tried_again_and_the_others_go_on(self) -> None:
        tries = []

        def fails() -> measure.Result:
            tries.append(1)
            raise measure.JobFailedError("no space left")

        contest = compare.Contest()
        contest.enter("bad", fails)
        contest.enter("good", lambda: result(2))
        contest.hold(3)
        assert len(tries) == 1
        assert contest.failures == {"bad": "no space left"}
        assert "| bad | not measured: no space left |" in contest.table({}).markdown()

    def test_ratios_are_taken_within_a_round(self) -> None:
        slow = [result(10), result(40), result(30)]
        fast = [result(1), result(2), result(3)]
        assert measure.paired_ratio(slow, fast) == 10
        assert measure.typical(slow).call_s == 30

    def test_a_job_that_fails_says_why(self) -> None:
        with pytest.raises(measure.JobFailedError, match="ValueError: such a pity"):
            measure.run_process([sys.executable, "-c", "raise ValueError('such a pity')"])

    def test_a_job_that_takes_too_long_ends_with_all_that_it_started(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(measure, "LIMIT_S", 1.0)
        script = tmp_path / "job.sh"
        script.write_text(f"sleep 60 & echo $! > {tmp_path}/worker; wait\n")
        with pytest.raises(measure.JobFailedError, match="longer than 1 s"):
            measure.run_process(["sh", str(script)])
        worker = int((tmp_path / "worker").read_text())
        until = time.monotonic() + 10  # the kernel ends it in its own time
        while is_running(worker) and time.monotonic() < until:
            time.sleep(0.01)
        assert not is_running(worker)

    def test_the_result_is_found_among_what_a_peer_prints(self) -> None:
        said = f'hello\n{protocol.MARK}{{"call_s": 2.5}}\nbye\n'
        assert protocol.find_result(said) == {"call_s": 2.5}
        with pytest.raises(ValueError, match="no result"):
            protocol.find_result("hello\n")

    def test_memory_counts_the_processes_that_a_job_starts(self) -> None:
        hold = "import time; held = bytearray(60_000_000); time.sleep(0.5)"
        start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
        found, _ = measure.run_process([sys.executable, "-c", start])
        assert found.peak_mb > 60


class TestReport:
    def test_a_section_replaces_only_its_own_part(self) -> None:
        text = (
            "# Title\n<!-- begin a -->\nold\n<!-- end a -->\n<!-- begin b -->\nb\n<!-- end b -->\n"
        )
        section = Section("a", "New", "What \\1 was done.", [Table(["side"], [["platefuse"]])])
        new = report.replace_section(text, section, "Today.")
        assert "old" not in new
        assert "What \\1 was done.\n\n| side |\n| --- |\n| platefuse |\n\nToday.\n" in new
        assert new.endswith("<!-- begin b -->\nb\n<!-- end b -->\n")
        assert report.replace_section(new, section, "Today.") == new

    def test_a_report_without_a_place_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="begin a"):
            report.replace_section("# Title\n", Section("a", "A", "", []), "")

    def test_the_report_has_a_place_for_every_suite(self) -> None:
        from benchmarks.__main__ import SUITES

        text = report.REPORT.read_text()
        for name in SUITES:
            report.replace_section(text, Section(name, name, "", []), "")


class TestPeers:
    def test_every_peer_has_a_list_that_pins_it_and_all_else(self) -> None:
        for peer in (*envs.FRACTAL, *envs.STITCHER):
            lines = peer.requirements.read_text().splitlines()
            pins = [line for line in lines if line and not line.startswith("#")]
            assert f"{peer.package}=={peer.version}" in pins
            assert all("==" in pin for pin in pins)

    def test_an_environment_that_cannot_be_made_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(command: list[str]) -> None:
            raise envs.EnvironmentFailedError("no such version")

        monkeypatch.setattr(envs, "_run", broken)
        monkeypatch.setattr(envs, "HOME", tmp_path)
        contest = compare.Contest()
        peers = envs.FRACTAL[:1]
        contest.enter_peers(peers, lambda *_: lambda: result(1), lambda *_: lambda: result(1))
        why = contest.failures["fractal-tasks-core 1.6.0"]
        assert why == "its environment cannot be made: no such version"


class TestData:
    def test_it_is_made_once_and_anew_when_its_making_changes(self, home: Path) -> None:
        made: list[str] = []

        def make(folder: Path) -> None:
            folder.mkdir()
            made.append(folder.name)

        first = data.cached("thing", "one", make)
        assert data.cached("thing", "one", make) == first
        assert data.cached("thing", "two", make) != first
        assert len(made) == 2

    def test_a_lent_copy_shares_chunks_but_not_metadata(self, home: Path) -> None:
        zarr.create_array(home / "a.zarr", data=np.arange(6), zarr_format=2)
        copy = data.lend(home / "a.zarr", data.run_folder("lent"))
        chunk, meta = "0", ".zarray"
        assert (copy / chunk).samefile(home / "a.zarr" / chunk)
        assert not (copy / meta).samefile(home / "a.zarr" / meta)


class TestScenes:
    def test_affines_agree_with_the_physical_coordinates_of_the_data_model(self) -> None:
        spec = replace(TINY, whole_pixels=False, rotation_deg=2.0)
        pixel = np.array([1.0, 7, 11])
        for index, affine in enumerate(spec.affines_px):
            physical_um = (spec.origins_px[index] + pixel) * spec.spacing_um
            world_um = spec.transform_um(index) @ [*physical_um, 1]
            assert world_um[:3] / spec.spacing_um == pytest.approx((affine @ [*pixel, 1])[:3])

    def test_fields_on_disk_are_read_as_views(self, home: Path) -> None:
        TINY.write(home / "fields", scenes.waves)
        views = sims.load_sims(home / "fields")
        assert len(views) == 4
        assert views[3].dims == ("t", "c", "z", "y", "x")
        origin_um = [float(views[3].coords[axis][0]) for axis in "zyx"]
        assert origin_um == pytest.approx(TINY.origins_px[3] * TINY.spacing_um)
        assert np.array_equal(views[3].attrs["transforms"][sims.KEY], np.eye(4))

    def test_the_distance_of_the_scene_itself_is_what_rounding_leaves(self, home: Path) -> None:
        one = replace(TINY, grid=(1, 1), jitter_px=(0, 0, 0), channels=1)
        image = home / "image.zarr"
        (pixels,) = scenes.waves(one, 0)
        zarr.create_array(image / "0", data=pixels[None, None], zarr_format=2)
        transform = {"type": "scale", "scale": [1, 1, *one.spacing_um]}
        dataset = {"path": "0", "coordinateTransformations": [transform]}
        (image / ".zattrs").write_text(json.dumps({"multiscales": [{"datasets": [dataset]}]}))
        found = scenes.distance_from_waves(one, image)
        assert 0.4 < found.alone <= 0.5
        zarr.open_array(image / "0", mode="r+")[0, 0, 0, 0, 0] = 0
        assert scenes.distance_from_waves(one, image).anywhere > 1000


RECORD = {
    "platefuse": {
        "registration": {"time": "2026-11-28T20:54:00+00:00", "shift_px": [0.0, 2.5]},
        "fusion": {
            "seconds": 1.5,
            "wanted": {"sources": {"0": {"tile_table": "ab", "files": 3, "newest_ns": 17}}},
        },
    }
}


class TestSamePlates:
    """The comparison of what two versions write finds all that differs, but for times."""

    @pytest.fixture
    def before(self, tmp_path: Path) -> Path:
        image = tmp_path / "before" / "plate.zarr" / "0"
        image.mkdir(parents=True)
        (image / "0.0").write_bytes(b"pixels")
        (image / ".zattrs").write_text(json.dumps(RECORD, indent=4))
        (tmp_path / "before" / "empty").mkdir()
        return tmp_path / "before"

    @pytest.fixture
    def after(self, before: Path) -> Path:
        return shutil.copytree(before, before.with_name("after"))

    def edit(self, folder: Path, old: str, new: str) -> None:
        file = folder / "plate.zarr" / "0" / ".zattrs"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def test_equal_folders_have_no_differences(self, before: Path, after: Path) -> None:
        found = files.compare_folders(before, after)
        size = sum(file.stat().st_size for file in before.rglob("*") if file.is_file())
        assert found == files.Comparison(files=2, nbytes=size)

    def test_times_may_differ(self, before: Path, after: Path) -> None:
        self.edit(after, "2026-11-28T20:54:00+00:00", "2026-11-28T21:12:05+00:00")
        self.edit(after, "1.5", "12")
        self.edit(after, "17", "18")
        found = files.compare_folders(before, after)
        assert (found.timed, found.expected, found.differences) == (1, 0, [])

    def test_the_path_of_the_folder_may_differ(self, before: Path, after: Path) -> None:
        self.edit(before, '"ab"', f'"{before}/table"')
        self.edit(after, '"ab"', f'"{after}/table"')
        assert files.compare_folders(before, after).differences == []

    def test_expected_values_may_differ(self, before: Path, after: Path) -> None:
        self.edit(after, '"newest_ns": 17', '"content": "cd"')
        found = files.compare_folders(before, after)
        assert (found.timed, found.expected, found.differences) == (0, 1, [])

    @pytest.mark.parametrize(
        ("old", "new", "difference"),
        [
            ("2.5", "2.25", "platefuse.registration.shift_px[1]: 2.5 before, 2.25 after"),
            ('"ab"', '"cd"', 'platefuse.fusion.wanted.sources.0.tile_table: "ab" before, "cd"'),
            ('"tile_table"', '"table"', "platefuse.fusion.wanted.sources.0.tile_table only before"),
            ('"wanted"', '"other"', "platefuse.fusion.wanted only before"),
            ('"time"', '"hour"', "platefuse.registration.time only before"),
            (": [", ":  [", "the order of the keys, or the formatting"),
        ],
    )
    def test_any_other_value_may_not(
        self, before: Path, after: Path, old: str, new: str, difference: str
    ) -> None:
        self.edit(after, old, new)
        found = files.compare_folders(before, after)
        assert len(found.differences) == 1
        assert difference in found.differences[0]

    def test_the_order_of_keys_may_not(self, before: Path, after: Path) -> None:
        file = after / "plate.zarr" / "0" / ".zattrs"
        content = json.loads(file.read_text())
        section = content["platefuse"]
        content["platefuse"] = {key: section[key] for key in reversed(section)}
        file.write_text(json.dumps(content, indent=4))
        assert len(files.compare_folders(before, after).differences) == 1

    def test_a_changed_byte_is_found(self, before: Path, after: Path) -> None:
        (after / "plate.zarr" / "0" / "0.0").write_bytes(b"pixelz")
        found = files.compare_folders(before, after)
        assert found.differences == ["plate.zarr/0/0.0: differs first at byte 5 of 6"]
        (after / "plate.zarr" / "0" / "0.0").write_bytes(b"pixels!")
        found = files.compare_folders(before, after)
        assert found.differences == ["plate.zarr/0/0.0: 6 bytes before, 7 after"]

    def test_the_time_of_no_other_file_may_differ(self, before: Path, after: Path) -> None:
        for folder, time_ in ((before, 1), (after, 2)):
            (folder / "table.csv").write_text(f'"time": {time_}')
        assert len(files.compare_folders(before, after).differences) == 1

    def test_files_and_folders_of_one_side_are_found(self, before: Path, after: Path) -> None:
        (after / "plate.zarr" / "0" / "0.0").unlink()
        (before / "empty").rmdir()
        found = files.compare_folders(before, after)
        assert found.differences == ["plate.zarr/0/0.0: only before", "empty: only after"]

    def test_permissions_are_compared(self, before: Path, after: Path) -> None:
        for folder, mode in ((before, 0o644), (after, 0o600)):
            (folder / "plate.zarr" / "0" / "0.0").chmod(mode)
        found = files.compare_folders(before, after)
        difference = "plate.zarr/0/0.0: mode -rw-r--r-- before, -rw------- after"
        assert found.differences == [difference]

    def test_logs_are_not_compared_and_receipts_are(self, before: Path, after: Path) -> None:
        for part in ("results/logs", ".snakemake", "results/benchmarks", "results/plate"):
            (after / part).mkdir(parents=True)
            (before / part).mkdir(parents=True)
            (after / part / "one.json").touch()
        assert compare_case(before, after).differences == ["results/plate/one.json: only after"]

    def test_cases_start_with_plates_of_an_earlier_case(self) -> None:
        names = [case.name for case in SAME_PLATES_CASES]
        assert len(set(names)) == len(names)
        for i, case in enumerate(SAME_PLATES_CASES):
            assert case.start in ["", *names[:i]]


@pytest.mark.parametrize("own_calls", [False, True])
def test_the_codec_limit_writes_what_its_templates_hold(home: Path, own_calls: bool) -> None:
    pixels = np.arange(70).reshape(7, 10)
    template = zarr.create_array(home / "t.zarr", data=pixels, chunks=(4, 4), zarr_format=2)
    path = str(home / "t.zarr")
    copying = codec.Copying([path], [path], str(home / "out"), 2, own_calls)
    copying()
    assert copying.notes["decoded"] == copying.notes["encoded"] == 6
    assert np.array_equal(zarr.open_array(home / "out" / "0")[...], template[...])


def test_registered_moves_every_field_and_leaves_zeros() -> None:
    spec = replace(registration.SMALL, field_shape=(20, 30), grid=(1, 2))
    pixels = np.arange(1, 1201).reshape(1, 20, 60)
    truth = registration.registered(pixels, spec)
    assert truth[0, 7, 0] == pixels[0, 0, 12]
    assert truth[0, 19, 30] == pixels[0, 12, 42]
    assert not truth[:, :7].any()
    assert not truth[:, :, 18:30].any()


def test_registration_is_measured(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = replace(registration.SMALL, field_shape=(60, 80))
    monkeypatch.setattr(registration, "SMALL", tiny)
    text = run_registration(rounds=1, small=True, peers=False).markdown()
    ours = next(line for line in text.splitlines() if line.startswith("| platefuse |"))
    assert ours.split("|")[-3].strip() == "0"
    assert "| codec limit |" in text


def test_the_peers_fuse_the_fields_of_a_mosaic(tmp_path: Path) -> None:
    spec = replace(well.SMALL, field_shape=(40, 50), levels=1)
    make_plate(tmp_path / "p.zarr", spec)
    image = tmp_path / "p.zarr" / well.WELL / "1"
    well.describe_fields(image, spec, tmp_path / "fields")
    views = sims.load_sims(tmp_path / "fields")
    pixels = np.asarray(zarr.open_array(image / "0", mode="r")[...])
    quarters = [pixels[..., y : y + 40, x : x + 50] for y in (0, 40) for x in (0, 50)]
    assert [view.shape for view in views] == [(1, 1, 1, 40, 50)] * 4
    for view, quarter in zip(views, quarters, strict=True):
        assert np.array_equal(view.values[0], quarter)
    (down, right), size_um = np.subtract(spec.field_shape, spec.overlap_px), spec.pixel_size_um
    corners = [(float(view.y[0]), float(view.x[0])) for view in views]
    expected = [(y * size_um[1], x * size_um[2]) for y in (0, down) for x in (0, right)]
    assert np.subtract(corners, corners[0]) == pytest.approx(np.array(expected), abs=1e-3)


def test_a_job_tells_what_it_read_and_wrote(tmp_path: Path) -> None:
    job = """
import sys
from pathlib import Path
from benchmarks.jobs.protocol import run_job

def prepare(file):
    own = Path(file)
    own.write_bytes(bytes(5_000_000))
    return lambda: own.with_suffix(".new").write_bytes(own.read_bytes()[:2_000_000])

sys.argv[1:] = sys.argv[2:]
run_job(prepare)
"""
    (tmp_path / "job.py").write_text(job)
    start = f"import runpy; runpy.run_path({str(tmp_path / 'job.py')!r})"
    arguments = json.dumps({"file": str(tmp_path / "file")})
    _, output = measure.run_process([sys.executable, "-c", start, "-", arguments])
    found = protocol.find_result(output)
    assert found["read_mb"] == pytest.approx(5, abs=0.1)
    assert found["written_mb"] == pytest.approx(2, abs=0.1)


def test_fusion_is_measured(home: Path) -> None:
    case = Case("tiny", TINY, CASES[0].chunks, (2, 40, 50))
    table = run_case(case, rounds=1, small=True, peers=False)
    sides = {row[0]: row for row in table.rows}
    assert set(sides) == {"platefuse", *LIMITS}
    alone, anywhere = sides["platefuse"][-1].split(", ")
    assert float(alone) <= 0.5
    assert float(anywhere) <= 0.5


class TestAccuracy:
    def test_errors_are_of_fields_with_tissue_and_flung_ones_of_all(self) -> None:
        places = np.array([[0, 0], [0, 90], [90, 0], [3, 4], [3, 94], [93, 4]], float)
        truth = accuracy.Truth(
            places,
            np.array([True, True, True, True, True, False]),
            np.array([0, 1, 2, 0, 1, 2]),
            ["B/02"] * 6,
            places,
        )
        found = places + 7  # where the whole well is does not count
        found[1] += (0, 0.5)  # which its own shift makes good
        found[4] += (0.3, 0.9)
        found[5] += (40, 0)  # without tissue
        errors = accuracy.errors_of(found.tolist(), truth)
        assert errors.positions == pytest.approx([0, 0.5, 0])
        assert errors.shifts == pytest.approx([0, 0.5])
        assert errors.flung == 1
        half = accuracy.errors_of([*found[:3].tolist(), None, None, None], truth)
        assert len(half.shifts) == 0
        assert half.flung == 0

    def test_an_affine_stage_is_fitted_to_most_fields(self) -> None:
        stage = np.array(list(np.ndindex(6, 9)), float) * 460
        true = stage @ np.array([[1.001, 0.016], [-0.016, 1.002]]) + (5, -7)
        found = true + np.random.default_rng(0).normal(0, 0.3, stage.shape)
        found[:12] += 200
        assert np.abs(accuracy.affine_stage(stage, found) - true).max() < 0.5

    def test_a_raw_plate_shows_its_tissue_where_its_truth_says(self, tmp_path: Path) -> None:
        spec = raw.RawSpec("tiny", grid=(1, 1), side=200, angles_deg=(0, 0, 0.5), seed=3)
        spec.write(tmp_path / "p")
        truth = accuracy.read_truth(tmp_path / "p")
        pixels = [
            zarr.open_array(tmp_path / "p" / "plate.zarr" / "B" / "02" / str(n) / "0", mode="r")
            for n in range(3)
        ]
        for n in (1, 2):
            found = measure_shift(pixels[0][0, 0], pixels[n][0, 0], max_shift_px=20)
            expected = truth.places_px[n] - truth.places_px[0]
            assert (
                np.abs(found.shift_px - expected).max() < 0.2
            )  # it is of the middle of the overlap

    def test_a_tiny_run(self, home: Path) -> None:
        section = accuracy.run_accuracy(rounds=1, small=True, peers=False)
        (table,) = section.tables
        assert [row[0] for row in table.rows] == ["(stage)", "platefuse"]
        shifts, positions = (float(v.split(", ")[-1]) for v in table.rows[1][1:3])
        assert shifts < 0.3
        assert positions < 0.5
