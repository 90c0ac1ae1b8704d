"""The task is called as a Fractal server calls it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import platefuse
from platefuse import apply_registration_to_image
from tests.conftest import PlateFactory
from tests.fused import FIELDS, TINY, WELL
from tests.truth import assert_registered

PACKAGE = Path(platefuse.__file__).parent
MANIFEST = json.loads((PACKAGE / "__FRACTAL_MANIFEST__.json").read_text())
(TASK,) = MANIFEST["task_list"]


def call(folder: Path, arguments: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Start the program of the task."""
    (folder / "args.json").write_text(json.dumps(arguments))
    program = [sys.executable, str(PACKAGE / TASK["executable_parallel"])]
    files = ["--args-json", str(folder / "args.json"), "--out-json", str(folder / "out.json")]
    return subprocess.run([*program, *files], capture_output=True, text=True, check=False)


def test_the_server_gets_the_list_of_images(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(TINY)
    image = str(plate.path / WELL / "2")
    arguments = {"zarr_url": image, "registered_roi_table": FIELDS}
    jsonschema.validate(arguments, TASK["args_schema_parallel"])

    run = call(tmp_path, arguments)

    assert run.returncode == 0, run.stderr
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "image_list_updates": [{"zarr_url": image}]
    }
    assert_registered(plate.path, plate.truth, WELL, "2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"roi": 1}, "unknown arguments ['roi']"),
        ({"zarr_url": None}, "missing ['zarr_url']"),
        ({"registered_roi_table": "nothing"}, "nothing"),
    ],
)
def test_an_error_is_one_message_and_no_result(
    example_plate: PlateFactory, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    image = str(example_plate(TINY).path / WELL / "2")
    arguments = {"zarr_url": image, "registered_roi_table": FIELDS, **change}

    run = call(tmp_path, {k: v for k, v in arguments.items() if v is not None})

    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out.json").exists()


def test_an_old_result_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("{}")
    run = call(tmp_path, {})
    assert run.returncode == 1
    assert "expected the path of a new file" in run.stderr


def test_the_manifest_describes_the_function() -> None:
    schema = TASK["args_schema_parallel"]
    jsonschema.Draft202012Validator.check_schema(schema)
    parameters = inspect.signature(apply_registration_to_image).parameters
    defaults = {
        name: own.default
        for name, own in parameters.items()
        if own.default is not inspect.Parameter.empty
    }
    assert set(schema["properties"]) == set(parameters)
    assert {
        name: own["default"] for name, own in schema["properties"].items() if "default" in own
    } == defaults
    assert set(schema["required"]) == set(parameters) - set(defaults)
