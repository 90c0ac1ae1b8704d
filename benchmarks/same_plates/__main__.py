"""Run two versions of platefuse on copies of the same plates, and compare what they write."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import ROOT
from benchmarks.same_plates.cases import CASES, Case
from benchmarks.same_plates.files import EXPECTED, Comparison, compare_folders
from benchmarks.same_plates.plates import make_plates
from benchmarks.tables import Table, seconds

REAL_PLATE = ROOT.parent / "shared" / "data" / "imagexpress_9987.zarr"
HEADER = (
    *("case", "files", "bytes", "times only", "expected", "different"),
    *("before, s", "after, s"),
)
_NOT_COMPARED = ("logs", "benchmarks")


class RunFailedError(Exception):
    """A run of the workflow ended with an error; the message is the end of what it printed."""


@dataclass(frozen=True)
class Side:
    """One version of platefuse, and the folder for what it writes.

    Attributes
    ----------
    checkout : Path
        Top folder of its sources.
    folder : Path
        Holds a folder for each case.
    """

    checkout: Path
    folder: Path

    def run(self, case: Case, inputs: Path, plates: Sequence[str]) -> float:
        """Do a case with real Snakemake, in processes of this version; returns the seconds.

        A case is not done again if the same checkout has finished it in this folder before.

        Raises
        ------
        RunFailedError
            If it fails.
        """
        folder, finished = self.folder / case.name, self.folder / f"{case.name}.json"
        request = {"checkout": str(self.checkout), "plates": list(plates), "case": asdict(case)}
        done = json.loads(finished.read_text()) if finished.is_file() else {}
        if done.get("request") == request:
            return float(done["seconds"])
        finished.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = self.folder / case.start if case.start else inputs
        for name in plates:
            if not (start / f"{name}.zarr").is_dir():
                raise RunFailedError(f"{self.checkout}, {case.name}: {case.start!r} left no plates")
            subprocess.run(["cp", "-a", start / f"{name}.zarr", folder], check=True)
        config = {
            "plates": {name: f"{name}.zarr" for name in plates},
            "registration": case.registration,
            "fusion": case.fusion,
        }
        (folder / "config.json").write_text(json.dumps(config))
        begun = time.perf_counter()
        self._snakemake(folder)
        took = time.perf_counter() - begun
        finished.write_text(json.dumps({"request": request, "seconds": round(took, 3)}))
        return took

    def _snakemake(self, folder: Path) -> None:
        command = [sys.executable, "-m", "snakemake", "--cores", "2"]
        command += ["--snakefile", str(self.checkout / "Snakefile")]
        command += ["--configfile", "config.json", "--directory", "."]
        environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
        done = subprocess.run(
            command,
            cwd=folder,
            env={**environment, "PYTHONPATH": str(self.checkout)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            end = "\n".join(done.stdout.splitlines()[-40:])
            raise RunFailedError(f"{self.checkout}, {folder.name}:\n{end}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two checkouts; the exit code is 1 if there is any unexpected difference."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="same-plates-") as temporary:
        work = options.work or Path(temporary)
        shutil.rmtree(work / "after", ignore_errors=True)
        before = Side(options.before.resolve(), work.resolve() / "before")
        after = Side(options.after.resolve(), work.resolve() / "after")
        cases = [case for case in CASES if not options.case or case.name in options.case]
        starts = [case for case in CASES if case.name in {c.start for c in cases}]
        needed = [*(case for case in starts if case not in cases), *cases]
        return compare(before, after, needed, work.resolve() / "inputs", options.real)


def compare(before: Side, after: Side, cases: Sequence[Case], inputs: Path, real: Path) -> int:
    """Run all cases with both versions, and print what differs; returns the exit code."""
    begun = time.perf_counter()
    plates = make_plates(inputs, real)
    table, differences = Table(HEADER), list[str]()
    for case in cases:
        try:
            took = [side.run(case, inputs, plates) for side in (before, after)]
        except RunFailedError as failure:
            found, took = Comparison(differences=[str(failure)]), []
        else:
            found = compare_case(before.folder / case.name, after.folder / case.name)
        counts = (found.files, found.nbytes, found.timed, found.expected, len(found.differences))
        table.add(case.name, *(f"{n:,}" for n in counts), *map(seconds, took))
        differences += [f"{case.name}: {difference}" for difference in found.differences]
        print(f"{case.name}: {len(found.differences)} differences", file=sys.stderr, flush=True)
    print(
        f"Plates: {', '.join(plates)}. {time.perf_counter() - begun:.0f} s.\n",
        table.markdown(),
        sep="\n",
    )
    for e in EXPECTED:
        print(f"\nExpected: {', '.join(e.keys)} in {'.'.join(e.path)}. {e.reason}")
    print("", f"{len(differences)} unexpected differences.", *differences[:200], sep="\n")
    return 1 if differences else 0


def compare_case(before: Path, after: Path) -> Comparison:
    """Compare what two runs left: plates, staging folders, fused plates and receipts."""
    return compare_folders(before, after, _is_compared)


def _is_compared(name: str) -> bool:
    """Whether a path in the folder of a case is the same in each run of one version."""
    first, *rest = Path(name).parts
    return first != ".snakemake" and not (
        first == "results" and rest[:1] and rest[0] in _NOT_COMPARED
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.same_plates",
        description="Register and fuse copies of the same plates with two versions of platefuse, "
        "by real Snakemake, and compare plates, fused plates and receipts byte for byte, but for "
        "times. Exit code 1: there are differences that are not declared as expected.",
    )
    parser.add_argument("before", type=Path, help="checkout of one version of platefuse")
    parser.add_argument("after", type=Path, help="checkout of the other; both may be the same")
    parser.add_argument(
        "--work",
        type=Path,
        help="folder that keeps the plates (default: a temporary one); plates in it that BEFORE "
        "has finished in an earlier run are not made again",
    )
    parser.add_argument(
        "--real", type=Path, default=REAL_PLATE, help="a real plate (default: %(default)s)"
    )
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        choices=[case.name for case in CASES],
        help="only this case; may be given several times",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
