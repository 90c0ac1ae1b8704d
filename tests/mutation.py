"""Mutation testing: change one operator of a module and check that its tests fail.

    python -m tests.mutation [MODULE ...] [--every N]

Each mutant has one comparison, sign, and/or, min/max or condition changed. Its tests run in a copy
of the checkout, in a separate process. A mutant that passes all of them is a survivor: either its
line is not tested, or the change makes no difference. Those of the second kind are listed in
`tests/equivalent_mutants.txt`, each with the reason. Exits with 1 if there is any other.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
TIMEOUT_S = 300

# The tests of each module, fastest first: the first failure ends the run of a mutant.
TESTS = {
    "geometry": ["unit/test_geometry.py"],
    "records/base": ["unit/test_records.py", "unit/registration", "unit/workflow/test_status.py"],
    "records/registration": ["unit/test_records.py", "unit/registration"],
    "records/fusion": ["unit/test_records.py", "unit/fusion/test_well.py"],
    "registration/rois": ["unit/registration/test_rois.py", "unit/registration"],
    "registration/tables": ["unit/registration/test_tables.py", "unit/registration"],
    "registration/swap": ["unit/registration/test_swap.py", "unit/registration"],
    "tables/table": ["unit/tables", "unit/registration/test_tables.py"],
    "tables/backends": ["unit/tables", "unit/fusion/test_tables.py"],
    "tables/move": ["unit/tables/test_move.py", "unit/registration/test_tables.py"],
    "fusion/fields": ["unit/fusion/test_fields.py", "unit/fusion/test_well.py"],
    "fusion/frame": ["unit/fusion/test_frame.py", "unit/fusion/test_api.py", "unit/fusion"],
    "fusion/tables": ["unit/fusion/test_tables.py", "unit/fusion/test_well.py"],
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
    line : int
        Where the change is in the module's source.
    before, after : str
        The changed expression or the head of the changed statement.
    source : str
        The whole mutated module.
    """

    module: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """Name that does not depend on the line number."""
        return f"{self.module}: {self.before} -> {self.after}"


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Yield all mutants of a module, in the order of its source.

    Examples
    --------
    >>> source = "def f(a, b): return min(a, b) if a < b else -b"
    >>> for mutant in mutants("m", source):
    ...     print(mutant.name)
    m: min(a, b) if a < b else -b -> min(a, b) if not a < b else -b
    m: a < b -> a <= b
    m: a < b -> a >= b
    m: min -> max
    m: -b -> +b
    """
    tree = ast.parse(source)
    for node in _executed(tree):
        for holder, attribute, new in _changes(node):
            before, old = _head(node), getattr(holder, attribute)
            setattr(holder, attribute, new)
            yield Mutant(module, node.lineno, before, _head(node), ast.unparse(tree))
            setattr(holder, attribute, old)


def _executed(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield every statement and expression that is executed, parents first."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _executed(child)


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, str, object]]:
    """Yield the changes of a node: the object, the name of its attribute, and the new value."""
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield node, "test", _negated(node.test)
    for generator in getattr(node, "generators", ()):
        for k, test in enumerate(generator.ifs):
            yield generator, "ifs", [*generator.ifs[:k], _negated(test), *generator.ifs[k + 1 :]]
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


def _negated(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def _head(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


def survives(mutant: Mutant, checkout: Path) -> bool:
    """Whether all tests of a module pass with a mutant instead of it; restores the module."""
    file = checkout / "platefuse" / f"{mutant.module}.py"
    original = file.read_text()
    file.write_text(mutant.source)
    try:
        return _passes([f"tests/{path}" for path in TESTS[mutant.module]], checkout)
    finally:
        file.write_text(original)


def _passes(tests: Sequence[str], checkout: Path) -> bool:
    """Whether tests pass in a checkout; a timeout counts as a failure."""
    child = get_context("fork").Process(target=_run_pytest, args=(tests, checkout))
    child.start()
    child.join(TIMEOUT_S)
    if child.is_alive():
        os.killpg(child.pid or 0, signal.SIGKILL)
        child.join()
    return child.exitcode == 0


def _run_pytest(tests: Sequence[str], checkout: Path) -> None:
    """Run pytest in this child process, as leader of a group, so that the group can be ended."""
    os.setsid()
    os.chdir(checkout)
    sys.path[:] = [str(checkout), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
    os.environ["PYTHONPATH"] = str(checkout)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    import pytest

    options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow and not strace"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # preloaded plug-ins
    os._exit(pytest.main([*options, *tests]))


def _preload() -> None:
    """Import the libraries that tests use once for all mutants: all but platefuse itself."""
    import anndata  # noqa: F401
    import dask.array  # noqa: F401
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
    import xarray  # noqa: F401
    import zarr  # noqa: F401


def _copy_checkout(target: Path) -> None:
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def equivalents() -> set[str]:
    """Return the names of the mutants that are known to make no difference."""
    lines = EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []
    return {line.partition("  # ")[0].strip() for line in lines if line and line[0] != "#"}


def main() -> int:
    """Run the mutants of some modules and report the survivors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"some of {', '.join(TESTS)}")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try each Nth mutant")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="begin with the Kth")
    arguments = parser.parse_args()
    _preload()
    known, survivors, count = equivalents(), [], 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        checkout = Path(folder)
        _copy_checkout(checkout)
        for module in arguments.modules or TESTS:
            if not _passes([f"tests/{path}" for path in TESTS[module]], checkout):
                print(f"{module}: its tests fail without any change", flush=True)
                return 2
            every = mutants(module, (ROOT / "platefuse" / f"{module}.py").read_text())
            for mutant in list(every)[arguments.first :: arguments.every]:
                if mutant.name in known:
                    continue
                begun, count = time.monotonic(), count + 1
                if survives(mutant, checkout):
                    survivors.append(mutant)
                    took = f"{time.monotonic() - begun:.0f} s"
                    print(f"line {mutant.line} of {mutant.name}  ({took})", flush=True)
    print(f"{count - len(survivors)} of {count} mutants killed, {len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
