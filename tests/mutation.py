"""Mutation testing: change one operator of a module and check that its tests fail.

    python -m tests.mutation [MODULE ...] [--every N] [--first K] [--minutes M]

Each mutant has one comparison, sign, and/or, min/max or condition changed. Annotations and the text
of errors are left alone. Tests run in a copy of the checkout, in a separate process: first those
that execute the changed line, the fastest first, and if they pass all others of the module. A
mutant that passes all of them is a survivor: either its line is not tested, or the change makes no
difference. Those of the second kind are listed in `tests/equivalent_mutants.txt`, each with the
reason. Exits with 1 if there is any other.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")

# The tests of each module, besides its doctests: its own, and others only where these need the
# pixels or tables of a whole image. A fault is to be noticed by the tests next to it.
TESTS = {
    "geometry": ["test_geometry.py"],
    "records/base": ["test_records.py"],
    "records/digests": ["test_records.py"],
    "records/fusion": ["test_records.py"],
    "records/registration": ["test_records.py"],
    "registration/rois": ["registration/test_rois.py"],
    "registration/tables": ["registration/test_tables.py"],
    "registration/swap": ["registration/test_swap.py"],
    "ngff/tables/table": ["ngff/tables/test_table.py"],
    "ngff/tables/backends": ["ngff/tables/test_backends.py", "ngff/tables/test_table.py"],
    "ngff/tables/rows": ["ngff/tables/test_backends.py", "ngff/tables/test_table.py"],
    "ngff/tables/move": ["ngff/tables/test_move.py", "registration/test_tables.py"],
    "fusion/fields/field": ["fusion/fields/test_field.py", "fusion/wells/test_stack.py"],
    "fusion/fields/layers": [
        "fusion/fields/test_layers.py",
        "fusion/fields/test_field.py",
        "fusion/wells/test_stack.py",
    ],
    "fusion/frame": ["fusion/test_frame.py"],
    "fusion/wells/tables": ["fusion/wells/test_tables.py"],
}

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
_NAMES |= {"minimum": "maximum", "maximum": "minimum"}


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Attributes
    ----------
    module : str
        The module, for example ``fusion/frame``.
    name : str
        The module, the function or class, and the expression before and after the change, or the
        head of the statement. It does not depend on the line number.
    lines : range
        Where the change is in the module's source.
    source : str
        The whole mutated module.
    """

    module: str
    name: str
    lines: range
    source: str


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Yield all mutants of a module, in the order of its source.

    Examples
    --------
    >>> source = "def f(a, b): return min(a, b) if not a or a < b else -b"
    >>> for mutant in mutants("m", source):
    ...     print(mutant.name)
    m: f: min(a, b) if not a or a < b else -b -> min(a, b) if not (not a or a < b) else -b
    m: f: not a or a < b -> not a and a < b
    m: f: not a -> not not a
    m: f: a < b -> a <= b
    m: f: a < b -> a >= b
    m: f: min(a, b) -> max(a, b)
    m: f: -b -> +b
    """
    tree = ast.parse(source)
    sources, names = {ast.unparse(tree)}, Counter[str]()
    for node, scope, shown in _executed(tree, "", tree):
        for holder, attribute, new in _changes(node):
            before, old = _head(shown), getattr(holder, attribute)
            setattr(holder, attribute, new)
            name, mutated = f"{module}: {scope}: {before} -> {_head(shown)}", ast.unparse(tree)
            setattr(holder, attribute, old)
            if mutated in sources:
                continue
            sources.add(mutated)
            names[name] += 1
            count = f" #{names[name]}" if names[name] > 1 else ""
            end = node.test.end_lineno if isinstance(node, ast.If | ast.While) else node.end_lineno
            lines = range(node.lineno, (end or node.lineno) + 1)
            yield Mutant(module, name + count, lines, mutated)


def _executed(
    node: ast.AST, scope: str, parent: ast.AST
) -> Iterator[tuple[ast.expr | ast.stmt, str, ast.AST]]:
    """Yield every statement and expression that is executed, parents first.

    Each with the name of its function or class, and what shows it: of a name, the call.
    """
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return  # the text of an error
    if isinstance(node, ast.expr | ast.stmt):
        is_name = isinstance(node, ast.Name | ast.Attribute) and isinstance(parent, ast.expr)
        yield node, scope, parent if is_name else node
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        scope = f"{scope}.{node.name}" if scope else node.name
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _executed(child, scope, node)


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, str, object]]:
    """Yield the changes of a node: the object, the name of its attribute, and the new value."""
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not _is_comparison(node.test):
        yield node, "test", _negated(node.test)
    for generator in getattr(node, "generators", ()):
        for k, test in enumerate(generator.ifs):
            if not _is_comparison(test):
                negated = [*generator.ifs[:k], _negated(test), *generator.ifs[k + 1 :]]
                yield generator, "ifs", negated
    if isinstance(node, ast.Compare):
        for k, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                yield node, "ops", [*node.ops[:k], other(), *node.ops[k + 1 :]]
    if isinstance(node, ast.BoolOp):
        yield node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield node, "op", ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node, "op", ast.UAdd()
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, "operand", _negated(node.operand)
    if isinstance(node, ast.Name) and node.id in _NAMES:
        yield node, "id", _NAMES[node.id]
    if isinstance(node, ast.Attribute) and node.attr in _NAMES:
        yield node, "attr", _NAMES[node.attr]


def _is_comparison(test: ast.expr) -> bool:
    """Whether the negation of a condition is one of the changes of its comparison, too."""
    return isinstance(test, ast.Compare) and len(test.ops) == 1


def _negated(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def _head(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


@dataclass(frozen=True)
class Measured:
    """A test of the unchanged module.

    Attributes
    ----------
    seconds : float
        How long it took.
    lines : frozenset of int
        The lines of the module that it executed.
    """

    seconds: float
    lines: frozenset[int]


class _Measure:
    """Pytest plug-in that measures every test."""

    def __init__(self, file: Path, report: Path) -> None:
        self.file, self.report = str(file), report
        self.lines: set[int] = set()
        self.tests: dict[str, Any] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.lines, begun = set(), time.monotonic()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            seconds = time.monotonic() - begun
            self.tests[item.nodeid] = {"seconds": seconds, "lines": sorted(self.lines)}

    def pytest_sessionfinish(self) -> None:
        self.report.write_text(json.dumps(self.tests))

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != self.file:
            return None
        self.lines.add(frame.f_lineno)
        return self._trace


class _Choose:
    """Pytest plug-in that runs some tests only, in their order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.rank = {name: k for k, name in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self.rank]
        items[:] = sorted(chosen, key=lambda item: self.rank[item.nodeid])


class _Settings:
    """Pytest plug-in: Hypothesis draws the same examples every time, and minimizes none."""

    def pytest_configure(self) -> None:
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutation", deadline=None, derandomize=True, phases=phases)
        settings.load_profile("mutation")


def measure(module: str, checkout: Path) -> dict[str, Measured] | None:
    """Run the tests of an unchanged module; None if one fails."""
    report = checkout / "measured.json"
    plugin = _Measure(checkout / "platefuse" / f"{module}.py", report)
    files = [*(f"tests/unit/{path}" for path in TESTS[module]), f"platefuse/{module}.py"]
    if not _passes(files, plugin, checkout, limit_s=3600):
        return None
    content = json.loads(report.read_text())
    return {k: Measured(v["seconds"], frozenset(v["lines"])) for k, v in content.items()}


def survives(mutant: Mutant, tests: Mapping[str, Measured], checkout: Path) -> bool:
    """Whether all tests of a module pass with a mutant instead of it; restores the module."""
    by_time = sorted(tests, key=lambda name: tests[name].seconds)
    first = [name for name in by_time if not tests[name].lines.isdisjoint(mutant.lines)]
    others = [name for name in by_time if name not in set(first)]
    file = checkout / "platefuse" / f"{mutant.module}.py"
    original = file.read_text()
    file.write_text(mutant.source)
    try:
        return all(_pass(names, tests, checkout) for names in (first, others) if names)
    finally:
        file.write_text(original)


def _pass(names: Sequence[str], tests: Mapping[str, Measured], checkout: Path) -> bool:
    limit_s = 60 + 5 * sum(tests[name].seconds for name in names)
    files = list(dict.fromkeys(name.partition("::")[0] for name in names))
    return _passes(files, _Choose(names), checkout, limit_s)


def _passes(files: Collection[str], plugin: object, checkout: Path, limit_s: float) -> bool:
    """Whether tests pass in a checkout; too long a run, two times, counts as a failure."""
    for _ in range(2):  # the locks of a library that was imported before the fork may hang
        child = get_context("fork").Process(target=_run_pytest, args=(files, plugin, checkout))
        child.start()
        child.join(limit_s)
        if not child.is_alive():
            return child.exitcode == 0
        print(f"ended after {limit_s:.0f} s:", *files, flush=True)
        os.killpg(child.pid or 0, signal.SIGKILL)
        child.join()
    return False


def _run_pytest(files: Collection[str], plugin: object, checkout: Path) -> None:
    """Run pytest in this child process, as leader of a group, so that the group can be ended."""
    os.setsid()
    os.chdir(checkout)
    sys.path[:] = [str(checkout), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
    os.environ["PYTHONPATH"] = str(checkout)
    # Two mutants of one second and one size would share their bytecode.
    sys.dont_write_bytecode = isinstance(plugin, _Choose)
    if sys.dont_write_bytecode:
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow and not strace"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # preloaded plug-ins
    os._exit(pytest.main([*options, *files], plugins=[plugin, _Settings()]))


def _preload() -> None:
    """Import the libraries that tests use once for all mutants: all but platefuse itself."""
    import anndata  # noqa: F401
    import dask.array  # noqa: F401
    import xarray  # noqa: F401
    import zarr  # noqa: F401


def _copy_checkout(target: Path) -> None:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def equivalents() -> set[str]:
    """Return the names of the mutants that are known to make no difference."""
    lines = EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []
    return {line.partition("  # ")[0].strip() for line in lines if line and line[0] != "#"}


def run(module: str, arguments: argparse.Namespace, checkout: Path) -> int:
    """Try the mutants of a module, print those that survive, and return their number."""
    every = list(mutants(module, (ROOT / "platefuse" / f"{module}.py").read_text()))
    known, count, survivors = equivalents(), 0, 0
    for name in sorted(known - {mutant.name for mutant in every}):
        if name.startswith(f"{module}: "):
            print(f"{EQUIVALENT.name} has no longer a mutant for this line: {name}", flush=True)
            survivors += 1
    tests = measure(module, checkout)
    if tests is None:
        print(f"{module}: its tests fail without any change", flush=True)
        return survivors + 1
    end = time.monotonic() + 60 * arguments.minutes
    for k in range(arguments.first, len(every), arguments.every):
        if time.monotonic() > end:
            print(f"{module}: time is up; continue with --first {k}", flush=True)
            break
        if every[k].name in known:
            continue
        count += 1
        if survives(every[k], tests, checkout):
            survivors += 1
            print(f"{k}, line {every[k].lines.start}: {every[k].name}", flush=True)
    print(f"{module}: {count} of {len(every)} mutants tried, {survivors} survived", flush=True)
    return survivors


def main() -> int:
    """Run the mutants of some modules and report the survivors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"some of {', '.join(TESTS)}")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try each Nth mutant")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="begin with the Kth")
    parser.add_argument(
        "--minutes", type=float, default=1e6, metavar="M", help="end after M minutes of a module"
    )
    arguments = parser.parse_args()
    _preload()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        _copy_checkout(Path(folder))
        modules = arguments.modules or TESTS
        survivors = [run(module, arguments, Path(folder)) for module in modules]
        return int(sum(survivors) > 0)


if __name__ == "__main__":
    sys.exit(main())
