"""Command line of the benchmarks: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from benchmarks.accuracy import PLATES, run_accuracy
from benchmarks.dryrun import run_dryrun
from benchmarks.fusion import CASES, run_fusion
from benchmarks.memory import run_memory
from benchmarks.plate import run_plate
from benchmarks.registration import run_registration
from benchmarks.report import load_warning, measured_on, write_section
from benchmarks.resources import run_resources
from benchmarks.tables import Section
from benchmarks.well import run_well

SUITES = ("registration", "fusion", "well", "plate", "memory", "dryrun")
ALONE = ("accuracy", "resources")
"""Suites that are run by their name only: what they find hardly depends on the machine."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run suites, print their sections and write them to ``docs/benchmarks.md``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # ends the job, too
    options = _parser().parse_args(arguments)
    if warning := load_warning(os.getloadavg(), os.cpu_count() or 1):
        print(warning, file=sys.stderr)
    complete = not (options.small or options.no_peers or options.case)
    suites = _suites(options)
    for name in SUITES if options.suite == "all" else (options.suite,):
        section = suites[name]()
        print(section.markdown(), measured_on(options.repeats), "", sep="\n\n", flush=True)
        if complete:
            write_section(section, options.repeats)
    if not complete:
        print("docs/benchmarks.md is unchanged: this was not a complete run.", file=sys.stderr)


def _suites(options: argparse.Namespace) -> dict[str, Callable[[], Section]]:
    rounds, small, peers = options.repeats, options.small, not options.no_peers
    return {
        "registration": lambda: run_registration(rounds=rounds, small=small, peers=peers),
        "fusion": lambda: run_fusion(rounds=rounds, small=small, peers=peers, only=options.case),
        "well": lambda: run_well(rounds=rounds, small=small, peers=peers),
        "plate": lambda: run_plate(rounds=rounds, small=small, peers=peers),
        "memory": lambda: run_memory(rounds=rounds, small=small),
        "dryrun": lambda: run_dryrun(rounds=rounds, small=small),
        "resources": lambda: run_resources(small=small),
        "accuracy": lambda: run_accuracy(
            rounds=rounds, small=small, peers=peers, only=options.case
        ),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure platefuse, other programs and the codec limit. The environments of "
        "the other programs and the images are made once and kept in benchmarks/.",
    )
    parser.add_argument("suite", nargs="?", default="all", choices=(*SUITES, *ALONE, "all"))
    parser.add_argument("--repeats", type=_at_least_one, default=3, help="rounds (default 3)")
    parser.add_argument("--small", action="store_true", help="tiny images, to test the harness")
    parser.add_argument("--no-peers", action="store_true", help="no other programs")
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        choices=[*(case.spec.name for case in CASES), *PLATES],
        help="only this case of the fusion or accuracy suite; may be given several times",
    )
    return parser


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value} rounds, expected 1 or more")
    return value


if __name__ == "__main__":
    main()
