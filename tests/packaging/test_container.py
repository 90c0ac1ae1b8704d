"""The Dockerfile: what it promises, and its RUN steps in a folder of this machine.

No container is started: programs that build images need rights that tests do not have. The steps of
the first stage are run as they are written, with the folders of the image below a temporary one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from platefuse import __version__

ROOT = Path(__file__).parents[2]
PLACE = "/opt/platefuse"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each with its text in one line."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", "")
    found = [line.partition(" ") for line in text.splitlines() if line]
    return [(name, " ".join(rest.split())) for name, _, rest in found]


STEPS = instructions()
BUILD = STEPS[: [name for name, _ in STEPS].index("FROM", 1)]
COPIED = [name for kind, text in BUILD if kind == "COPY" for name in text.split()[:-1]]


def test_it_starts_from_a_plain_name_and_the_python_of_the_lock() -> None:
    images = {text.split()[0] for name, text in STEPS if name == "FROM"}
    assert images == {"python:3.11-slim"}
    packages = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert "python=3.11" in packages
    assert not re.search(r"https?://|index-url", (ROOT / "Dockerfile").read_text())


def test_it_ends_as_platefuse_of_a_user_without_rights() -> None:
    last = dict(STEPS[len(BUILD) :])
    assert last["ENTRYPOINT"] == '["platefuse"]'
    assert last["USER"] not in ("root", "0")
    # The first process of a container ignores SIGTERM, unless a command listens to it.
    assert last["STOPSIGNAL"] == "SIGINT"


def test_the_packages_may_come_from_another_index() -> None:
    """Its address reaches pip where packages are downloaded, and is not in the image."""
    names = [name for name, text in STEPS]
    assert [text for name, text in STEPS if name == "ARG"] == ["PIP_INDEX_URL"]
    assert names.index("FROM") < names.index("ARG") < names.index("RUN")
    assert "ARG" in [name for name, _ in BUILD]


def test_every_download_is_checked_by_its_hash() -> None:
    installs = [text for name, text in STEPS if name == "RUN" and "pip install" in text]
    assert len(installs) == 3
    assert all("--require-hashes" in text or "--no-index" in text for text in installs)
    assert all("--no-deps" in text for text in installs)
    # An isolated build gets its tools without hashes, so it must find them installed.
    first, *rest = installs
    assert "/^setuptools==/" in first
    assert "--requirement build.lock" in first
    assert all("--no-build-isolation" in text for text in rest)


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    assert all((ROOT / name).exists() for name in COPIED)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == set(COPIED)


@pytest.mark.slow
@pytest.mark.registry
def test_its_steps_install_platefuse(tmp_path: Path) -> None:
    place, source = tmp_path / "opt", tmp_path / "src"
    source.mkdir()
    base = tmp_path / "bin"  # the `python` of the image
    base.mkdir()
    (base / "python").symlink_to(getattr(sys, "_base_executable", sys.executable))
    # No compiler: the slim image has none.
    environment = {"PATH": f"{base}:/usr/bin:/bin", "HOME": str(tmp_path), "CC": "/bin/false"}
    environment |= {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_"))}
    for name, text in BUILD:
        if name == "COPY":
            *files, target = text.split()
            for file in files:
                if (ROOT / file).is_dir():
                    shutil.copytree(ROOT / file, source / target)
                else:
                    shutil.copy(ROOT / file, source / target)
        elif name == "RUN":
            step = text.replace(PLACE, str(place))
            done = subprocess.run(
                step, shell=True, cwd=source, env=environment, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            if done.returncode and "No matching distribution" in done.stderr:
                pytest.skip("no package index answers")
            assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(source)  # the second stage has only the environment
    program = str(place / "bin" / "platefuse")
    said = subprocess.run(
        [program, "--version"], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    assert __version__ in said
    example = [program, "example", "--raw", "p.zarr", "--wells", "B/02"]
    subprocess.run([*example, "--grid", "1", "1"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "c.yaml").write_text(
        "plates: {p: p.zarr}\nregistration: {store: false, measure: {enabled: true}}\n"
    )
    dry = [program, "run", "c.yaml", "--dry-run"]
    planned = subprocess.run(dry, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "process_well" in planned.stdout + planned.stderr
