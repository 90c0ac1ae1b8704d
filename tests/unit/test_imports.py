"""The layers of the package: which part imports which, and how large a part may be.

The source is read, nothing is imported: an import inside a function or under ``TYPE_CHECKING``
counts like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mutation

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "platefuse"

_BASE = {"errors", "geometry"}
_DISK = _BASE | {"storage", "ngff"}
_WELL = _DISK | {"records", "engine"}
_RAW = _WELL | {"illumination"}
_ALL = _RAW | {"registration", "fusion", "measuring", "quality", "workflow"}

# What each part may import besides itself. A part is a file or a package in platefuse/; a single
# module of another part may be named, such as storage.threads.
MAY_IMPORT = {
    "errors": set[str](),
    "geometry": set[str](),
    "storage": _BASE,
    "ngff": _BASE | {"storage"},
    "records": _DISK,
    "engine": _BASE | {"storage.memory", "storage.progress", "storage.threads"},
    "illumination": _WELL,
    "registration": _RAW,
    "fusion": _RAW,
    "measuring": _RAW | {"registration", "fusion"},
    "quality": _RAW | {"fusion", "measuring"},
    "workflow": _RAW | {"registration", "fusion", "measuring", "quality"},
    "command": _ALL | {"testing"},  # one module for each command; it alone prints, with __main__
    "__main__": {"errors", "command"},
    "testing": {"errors"},  # it must not share a mistake with the code that it tests
    "__init__": {"registration", "fusion", "measuring"},  # the public functions, on first use
}
# The packages inside packages, and what each may import of the package around it. The modules that
# are not in one use them all, but those of ABOVE.
ROOMS = {
    "fusion.fields": {"fusion.frame", "fusion.options"},
    "fusion.sims": {"fusion.arguments", "fusion.contents", "fusion.frame", "fusion.mosaic"},
    "fusion.wells": {
        "fusion.arguments", "fusion.contents", "fusion.fields", "fusion.frame", "fusion.mosaic",
        "fusion.options",
    },
    "measuring.pair": {"measuring.acceptance", "measuring.model"},
    "measuring.solve": {"measuring.model"},
    "ngff.tables": {
        "ngff.chunk_files", "ngff.image", "ngff.labels", "ngff.metadata", "ngff.paths",
        "ngff.zarr_format",
    },
    "quality.report": {"quality.model"},
    "registration.fractal": {"registration.api"},
    "workflow.checks": {
        "workflow.config", "workflow.description", "workflow.plates", "workflow.receipts",
        "workflow.sources",
    },
    "workflow.config": set[str](),
    "workflow.outdated": {"workflow.config", "workflow.receipts", "workflow.well_steps"},
    "workflow.resources": {"workflow.config", "workflow.receipts", "workflow.well_steps"},
}  # fmt: skip
# Packages that lie above the modules beside them, which must not import them.
ABOVE = {"ngff.tables", "quality.report", "registration.fractal"}
# Packages whose __init__ offers names, and so imports their modules.
OFFERS_NAMES = {"records", "testing"}
# The logger plug-in and the process that runs Snakemake with it.
OF_SNAKEMAKE = {"platefuse.command.child", "platefuse.command.events"}

LONGEST_MODULE = 400
MOST_MODULES = 26  # in one folder: as many as a reader can look through
LONGEST_FUNCTION = 45
MOST_NAMES = 14


def module_name(path: Path) -> str:
    """Name of a module: that of its package for an ``__init__``, so that imports match."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imported(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[str]:
    """Every module that a source imports anywhere, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in FILES else base


def part_of(module: str) -> str:
    """The part of the package that a module is in."""
    return module.split(".")[1] if "." in module else "__init__"


def is_allowed(module: str, target: str) -> bool:
    """Whether a module may import another one of the package."""
    here, there = part_of(module), part_of(target)
    if here == there:
        return is_allowed_inside(module, target)
    return there in MAY_IMPORT[here] or target.removeprefix("platefuse.") in MAY_IMPORT[here]


def is_allowed_inside(module: str, target: str) -> bool:
    """Whether a module may import another one of its own part."""
    room = room_of(module)
    if room == room_of(target):
        return True
    if room not in ROOMS:
        return room_of(target) not in ABOVE
    return bool({room_of(target), target.removeprefix("platefuse.")} & ROOMS[room])


def room_of(module: str) -> str:
    """The package in which a module of a part lies, such as ``fusion.wells``."""
    return ".".join(module.split(".")[1:3])


def imports_of(module: str) -> set[str]:
    is_package = FILES[module].name == "__init__.py"
    found = imported(TREES[module], module, is_package=is_package)
    return {t for t in found if t == "platefuse" or t.startswith("platefuse.")}


def against_the_layers() -> set[tuple[str, str]]:
    return {
        (module, target)
        for module in FILES
        for target in imports_of(module) - {"platefuse"}  # its version; see the test below
        if not is_allowed(module, target)
    }


def line_count(node: ast.stmt) -> int:
    """Number of lines of a statement or function, without those of its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
        lines -= line_count(node.body[0])
    return lines


def too_long() -> set[str]:
    found = set()
    for module, tree in TREES.items():
        if len(FILES[module].read_text(encoding="utf-8").splitlines()) > LONGEST_MODULE:
            found.add(module)
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if line_count(node) > LONGEST_FUNCTION:
                found.add(f"{module}.{node.name}")
    return found


def names_at_the_top() -> set[str]:
    """Modules and packages; the other files are for type checkers and for Fractal."""
    others = {"__pycache__", "py.typed", "__FRACTAL_MANIFEST__.json"}
    return {p.name.removesuffix(".py") for p in PACKAGE.iterdir()} - others


def test_every_part_of_the_package_has_its_rule() -> None:
    assert names_at_the_top() == set(MAY_IMPORT)


def test_imports_go_down_the_layers() -> None:
    assert not against_the_layers()


def test_every_package_inside_a_package_has_its_rule() -> None:
    inside = {p.parent for p in PACKAGE.glob("*/*/__init__.py")}
    assert {".".join(p.relative_to(PACKAGE).parts) for p in inside} == set(ROOMS)


def test_a_folder_has_no_more_modules_than_a_reader_can_look_through() -> None:
    for folder in {path.parent for path in FILES.values()}:
        assert len([p for p in folder.glob("*.py") if p.name != "__init__.py"]) <= MOST_MODULES


def test_the_rules_have_no_circle() -> None:
    done: set[str] = set()
    while ready := {p for p, allowed in MAY_IMPORT.items() if parts(allowed) <= done} - done:
        done |= ready
    assert done == set(MAY_IMPORT)


def parts(allowed: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in allowed}


def test_of_the_package_itself_modules_import_the_version_only() -> None:
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert "platefuse" not in {alias.name for alias in node.names}, module
            elif isinstance(node, ast.ImportFrom) and node.module == "platefuse":
                own = {alias.name for alias in node.names if f"platefuse.{alias.name}" not in FILES}
                assert own <= {"__version__"}, module


def test_only_the_example_command_imports_the_example_plates() -> None:
    importers = {m for m in FILES for t in imports_of(m) if part_of(t) == "testing"}
    assert {m for m in importers if part_of(m) != "testing"} <= {"platefuse.command.example"}


def test_snakemake_is_imported_by_its_plug_in_only() -> None:
    importers = {
        module
        for module, tree in TREES.items()
        for name in imported(tree, module, is_package=False)
        if name.startswith("snakemake")
    }
    assert importers == OF_SNAKEMAKE


@pytest.mark.parametrize("folder", ["scripts", "workflow"])
def test_rules_and_their_scripts_do_not_import_the_example_plates(folder: str) -> None:
    sources = [p for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".smk"}]
    assert sources
    for path in sources:
        assert "platefuse.testing" not in path.read_text(encoding="utf-8"), path


def test_a_name_is_imported_from_its_home() -> None:
    """The one way to offer a name of another module on that mypy allows."""
    for module, tree in TREES.items():
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert all(alias.name != alias.asname for i in imports for alias in i.names), module


def test_packages_import_nothing_when_they_are_entered() -> None:
    for module, tree in TREES.items():
        if FILES[module].name != "__init__.py" or part_of(module) in OFFERS_NAMES:
            continue
        for node in tree.body:  # an import inside a function, or for a type checker, costs nothing
            if isinstance(node, ast.Import):
                raise AssertionError(f"{module} imports {node.names[0].name}")
            if isinstance(node, ast.ImportFrom):
                assert node.module in {"__future__", "typing"}, module


def test_modules_and_functions_have_the_size_of_one_thing() -> None:
    assert not too_long()


def test_a_newcomer_sees_few_names() -> None:
    assert len(names_at_the_top() - {"__init__", "__main__"}) <= MOST_NAMES


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("platefuse.ngff.image", "platefuse.ngff.tables.table"),
        ("platefuse.engine.write", "platefuse.storage.arrays"),
        ("platefuse.registration.api", "platefuse.fusion.fields.field"),
        ("platefuse.fusion.api", "platefuse.registration.rois"),
        ("platefuse.fusion.api", "platefuse.measuring.pair.measure"),
        ("platefuse.measuring.plate", "platefuse.workflow.config.model"),
        ("platefuse.measuring.pair.measure", "platefuse.measuring.solve.graph"),
        ("platefuse.fusion.wells.stack", "platefuse.fusion.sims.image"),
        ("platefuse.quality.judge", "platefuse.quality.report.page"),
        ("platefuse.workflow.status", "platefuse.testing.plate"),
        ("platefuse.workflow.survey", "platefuse.command.init"),
        ("platefuse.command.completion", "platefuse.__main__"),
        ("platefuse.testing.plate", "platefuse.geometry"),
        ("platefuse.ngff.tables.table", "platefuse.records"),
    ],
)
def test_an_import_against_the_layers_is_found(module: str, target: str) -> None:
    base, _, name = target.rpartition(".")
    for source in (
        f"def f():\n    from {target} import x",
        f"import {target}",
        f"from {base} import {name}",
        f"from {'.' * module.count('.')}{target.partition('.')[2]} import x",
    ):
        found = list(imported(ast.parse(source), module, is_package=False))
        assert found == [target], source
    assert not is_allowed(module, target)


def test_mutation_testing_knows_where_modules_and_tests_are() -> None:
    for module, tests in mutation.TESTS.items():
        assert (PACKAGE / f"{module}.py").is_file(), module
        assert all((ROOT / "tests" / "unit" / test).is_file() for test in tests), module
