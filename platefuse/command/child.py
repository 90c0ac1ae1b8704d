"""Snakemake as `platefuse run` starts it: with a logger plugin that is in no package of its own.

``python -m platefuse.command.child`` takes the arguments of ``snakemake``.
"""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def stop_with_parent() -> None:
    """Ask the system to end this process in order (SIGTERM) when `platefuse run` is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run() -> None:
    """Run Snakemake."""
    stop_with_parent()
    # A shell starts what is in its background with this signal ignored; it must reach the jobs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Afterwards: these take seconds, in which the signal may come.
    from snakemake.cli import main
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    from platefuse.command import events

    LoggerPluginRegistry().register_plugin(events.PLUGIN, events)
    sys.argv[0] = "snakemake"  # the name in its messages
    main(sys.argv[1:])


if __name__ == "__main__":
    run()
