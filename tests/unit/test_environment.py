"""pyproject.toml has lower bounds; environment.yml and the locks have one version of each."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = {
    "requirements.lock": ("workflow", "build"),
    "requirements-dev.lock": ("workflow", "build", "test", "lint", "docs"),
    "requirements-lowest.lock": ("build", "test"),
}
# Where conda has another name for what pip installs.
CONDA_NAMES = {"dask": "dask-core", "snakemake": "snakemake-minimal"}
# What a pip extra brings has to be named for conda.
CONDA_EXTRAS = {"snakemake": "pygments"}
# Modules that have another name than their package, and packages that others load by name.
MODULES = {"pillow": "PIL"}
LOADED_BY_NAME = {"zarrs", "snakemake-executor-plugin-slurm"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(requirement: str) -> tuple[str, str]:
    """Name and version of a ``name==version`` requirement; an extra stays out of the name."""
    match = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?==([\w.]+)", requirement)
    assert match, f"{requirement!r} pins no exact version"
    return canonical(match[1]), match[2]


def lock_entries(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Version and hashes of every package in a lock."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = {}
    for entry in "\n".join(lines).replace("\\\n", " ").splitlines():
        match = re.fullmatch(
            r"(?P<pin>\S+==\S+)(?: ; [^#]*?)?(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})+)\s*",
            entry,
        )
        assert match, f"not a pinned and hashed requirement: {entry!r}"
        name, version = pinned(match["pin"])
        assert name not in entries, f"{name} stands twice"
        entries[name] = version, tuple(match["hashes"].split())
    return entries


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def conda() -> dict[str, str]:
    """Every package of environment.yml but the interpreter and pip, by name."""
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = chain.from_iterable(item["pip"] for item in listed if isinstance(item, dict))
    packages = dict(pinned(requirement) for requirement in from_pip)
    for item in listed:
        if isinstance(item, str) and item != "pip":
            name, separator, version = item.partition("=")
            assert separator, f"environment.yml pins no version of {name}"
            assert not version.startswith("="), f"{item}: conda pins with a single ="
            packages[name] = version
    return packages


def direct(pyproject: dict[str, Any], *extras: str) -> dict[str, Requirement]:
    """What pyproject.toml names, by canonical name."""
    optional = pyproject["project"]["optional-dependencies"]
    named = [
        *pyproject["project"]["dependencies"],
        *chain.from_iterable(optional[extra] for extra in extras),
    ]
    return {canonical(r.name): r for r in map(Requirement, named)}


def lower_bound(requirement: Requirement) -> Version:
    """The only specifier of a requirement, ``>=``."""
    (specifier,) = requirement.specifier
    assert specifier.operator == ">=", f"{requirement}: expected a lower bound and nothing else"
    return Version(specifier.version)


def locked_versions(lock: str) -> dict[str, str]:
    entries = lock_entries((ROOT / lock).read_text())
    return {name: version for name, (version, _) in entries.items()}


def test_pyproject_has_lower_bounds_only(pyproject: dict[str, Any]) -> None:
    for requirement in direct(pyproject, "workflow", "build", "test", "lint").values():
        assert lower_bound(requirement) > Version("0")


def test_conda_has_the_packages_of_pyproject_in_the_locked_versions(
    pyproject: dict[str, Any], conda: dict[str, str]
) -> None:
    locked = locked_versions("requirements.lock")
    names = direct(pyproject, "workflow")
    expected = {CONDA_NAMES.get(name, name): locked[name] for name in names}
    expected |= {
        brought: locked[brought] for name, brought in CONDA_EXTRAS.items() if name in names
    }
    python = conda.pop("python")
    assert conda == expected
    assert pyproject["project"]["requires-python"] == f">={python}"


def test_what_only_tests_import_is_asked_of_no_user(pyproject: dict[str, Any]) -> None:
    folders = ("platefuse", "scripts", "workflow")
    code = "\n".join(p.read_text() for f in folders for p in (ROOT / f).rglob("*.py"))
    for name in direct(pyproject, "workflow").keys() - LOADED_BY_NAME:
        module = MODULES.get(name, name)
        assert re.search(rf"^\s*(import|from) {module}\b", code, re.MULTILINE), name


def test_every_extra_is_locked(pyproject: dict[str, Any]) -> None:
    assert set(pyproject["project"]["optional-dependencies"]) == set(LOCKS["requirements-dev.lock"])


def test_the_build_tools_are_locked(pyproject: dict[str, Any]) -> None:
    assert (
        pyproject["build-system"]["requires"]
        == pyproject["project"]["optional-dependencies"]["build"]
    )


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items())
def test_lock_holds_what_pyproject_asks_for(
    pyproject: dict[str, Any], lock: str, extras: tuple[str, ...]
) -> None:
    locked = locked_versions(lock)
    for name, requirement in direct(pyproject, *extras).items():
        assert Version(locked[name]) in requirement.specifier


def test_the_lowest_lock_is_at_the_lower_bounds(pyproject: dict[str, Any]) -> None:
    """Otherwise a bound is lower than what another package asks for, and is never tested."""
    locked = locked_versions("requirements-lowest.lock")
    for name, requirement in direct(pyproject).items():
        assert Version(locked[name]) == lower_bound(requirement)


def test_dev_lock_extends_the_runtime_lock() -> None:
    locks = ("requirements.lock", "requirements-dev.lock")
    runtime, dev = (lock_entries((ROOT / lock).read_text()) for lock in locks)
    assert runtime.items() <= dev.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_place(lock: str) -> None:
    """No registry, no mirror, no path of the machine that made it."""
    text = (ROOT / lock).read_text()
    assert "make lock" in text.partition("==")[0]
    assert "://" not in text
    assert not re.search(r"(^|\s)(-i|-f|--(extra-)?index-url|--find-links)\b", text)
    assert not re.search(r"(^|\s)/\w", text)


@pytest.mark.parametrize(
    "entry",
    [
        "numpy==2.4.6",
        "numpy>=2 --hash=sha256:" + 64 * "0",
        "numpy @ https://example.org/numpy.whl --hash=sha256:" + 64 * "0",
    ],
    ids=["no hash", "no pin", "an address"],
)
def test_a_lock_line_without_pin_or_hash_is_noticed(entry: str) -> None:
    with pytest.raises(AssertionError, match="not a pinned and hashed requirement"):
        lock_entries(entry)
