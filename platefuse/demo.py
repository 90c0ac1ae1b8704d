"""``make demo``: an example plate goes through the workflow, and its truth is known.

Snakemake runs as for any plate, from the clone and with the default profile. Only the config is
the demo's own, so that it never works on plates that the user has put into config/config.yaml.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from platefuse.errors import ConfigError, PlatefuseError, RecordError
from platefuse.ngff.metadata import read_attributes
from platefuse.storage.files import remove_tree, write_json
from platefuse.terminal import aligned, shift_text, signed
from platefuse.workflow.status import ImageStatus, PlateStatus, plate_status

PLATE = Path("example/demo.zarr")
RESULTS = Path("results/demo")
CONFIG = RESULTS / "config.yaml"
CLONE = Path(__file__).resolve().parents[1]

# In the attributes of the demo's images: what registration has to find, by path of the image.
KNOWN_SHIFTS = "demo_known_shifts_px"


def run_demo(out: TextIO) -> None:
    """Make the example plate if it is not there, register and fuse it, and tell what was found.

    Parameters
    ----------
    out : file
        Where to tell it.

    Raises
    ------
    PlatefuseError
        If this is no clone, Snakemake is not there or fails, or the plate was not moved by
        the shifts it was made with.
    """
    if not (CLONE / "Snakefile").is_file():
        raise ConfigError(
            f"The demo runs the workflow of a clone, and {CLONE} has no Snakefile. Clone the "
            "repository and type `make demo` there."
        )
    if find_spec("snakemake") is None:
        raise ConfigError(
            f"The demo needs Snakemake, which {sys.executable} does not have. Type `make demo`: "
            "it sets up an environment first."
        )
    os.chdir(CLONE)
    options = _options(is_new=_make_plate(out))
    progress, begun = Progress(out), time.monotonic()
    run_snakemake(options, progress)
    status = plate_status(PLATE)
    seconds = f"{time.monotonic() - begun:.0f} s"
    done = "All is done already." if progress.idle else f"Registered and fused in {seconds}."
    out.write("\n".join([done, "", *summary(status), ""]))


@dataclass
class Progress:
    """Shows how far Snakemake is, from what it says.

    On a terminal one line is drawn over and over; elsewhere each job gets a line.

    Parameters
    ----------
    out : file
        Where to show it.

    Attributes
    ----------
    done, total : int
        Steps; `total` is 0 until Snakemake has said it.
    idle : bool
        Whether Snakemake found nothing to do.
    last : deque of str
        The last lines that Snakemake said.
    """

    out: TextIO
    done: int = 0
    total: int = 0
    idle: bool = False
    last: deque[str] = field(default_factory=lambda: deque(maxlen=60))
    _job: str = ""

    def read(self, line: str) -> None:
        """Take one line of Snakemake's."""
        line = line.rstrip("\n")
        self.last.append(line)
        if found := re.match(r"(\d+) of (\d+) steps \(", line):
            self.done, self.total = int(found[1]), int(found[2])
            self._show(new_job=False)
        elif found := re.match(r"total +(\d+)$", line):
            self.total = int(found[1])
        elif found := re.match(r"Job \d+: (.+)", line):
            self._job = found[1]
            self._show(new_job=True)
        elif line.startswith("Nothing to be done"):
            self.idle = True

    def close(self) -> None:
        """Leave the terminal's line free."""
        if self.out.isatty():
            self.out.write("\r\x1b[2K")

    def _show(self, *, new_job: bool) -> None:
        count = f"{self.done:>{len(str(self.total))}} of {self.total} jobs done"
        if self.out.isatty():
            full = 24 * self.done // max(1, self.total)
            line = f"[{'#' * full}{'.' * (24 - full)}] {count}; {self._job}"
            self.out.write(f"\r\x1b[2K{line[: shutil.get_terminal_size().columns - 1]}")
        elif new_job:
            self.out.write(f"{count}; {self._job}\n")
        self.out.flush()


def run_snakemake(options: Sequence[str], progress: Progress) -> None:
    """Run the workflow on the demo's plate.

    Raises
    ------
    PlatefuseError
        If Snakemake ends with an error; what it said is in the message.
    """
    write_json(CONFIG, {"plates": {PLATE.stem: str(PLATE)}})
    arguments = ["--configfile", str(CONFIG), *options]
    progress.out.write(f"Running: {shlex.join([_here('snakemake'), *arguments])}\n")
    progress.out.flush()
    if _watch([sys.executable, "-m", "snakemake", *arguments], progress) == 0:
        return
    said = "\n".join(progress.last)
    if "--unlock" in said:
        unlock = shlex.join([_here("snakemake"), "--configfile", str(CONFIG), "--unlock"])
        raise PlatefuseError(
            "Another run is going on in this clone, or one was killed. If none is going on, type "
            f"`{unlock}`, and `make demo` again."
        )
    raise PlatefuseError(
        f"Snakemake ended with an error, and said last:\n{said}\nAll that it said is in "
        ".snakemake/log. `make demo` goes on where this ended."
    )


def summary(status: PlateStatus) -> list[str]:
    """What was found, and where to look at it.

    Raises
    ------
    RecordError
        If an image was not moved by the shift that it was made with.
    """
    well = status.wells[0]
    known = read_attributes(Path(status.plate, well.well, well.images[0].image)).get(KNOWN_SHIFTS)
    rows = [["acquisition", "off by", "moved by"]]
    for path in dict.fromkeys(image.image for image in status.images):
        images = [image for image in status.images if image.image == path]
        moved = " and ".join(dict.fromkeys(map(_moved_text, images)))
        expected: list[float] | None = known.get(path) if isinstance(known, dict) else None
        off = "unknown" if expected is None else " ".join(map(signed, expected))
        if expected is not None and not all(_was_moved(image, expected) for image in images):
            raise RecordError(
                f"{status.plate}: image {path} of each well was off by {off} pixels (y, x), and "
                f"was moved by {moved}. That is a mistake of platefuse; please report it."
            )
        rows.append([str(images[0].acquisition), off, moved])
    first = f"{status.fused_plate}/{well.well}/{well.images[0].image}"
    return [
        "Pixels (y x) that each acquisition was off the reference when the example was made, and",
        "by which it was moved, from the records of its images:",
        "",
        *(f"  {line}" for line in aligned(rows)),
        "",
        f"Registered plate: {status.plate}, each image in the place of its original",
        f"Fused plate:      {status.fused_plate}, one image for each well and acquisition",
        "",
        "Look at them with a viewer for OME-Zarr 0.4, such as napari with the plugin "
        "napari-ome-zarr:",
        f"  napari --plugin napari-ome-zarr {first}",
        "What was done to which image:",
        f"  {_here('python')} -m platefuse status {status.plate}",
        "Your own plate: see README.md",
    ]


def _make_plate(out: TextIO) -> bool:
    """Make the plate if it is not there; returns whether it was made."""
    if PLATE.exists():
        return False
    from platefuse.testing import PlateSpec, make_plate

    out.write(f"Writing the example plate {PLATE}\n")
    out.flush()
    known = {a.path: list(a.shift_px) for a in PlateSpec().acquisitions}
    unfinished = PLATE.with_name("unfinished_demo.zarr")
    remove_tree(unfinished)
    make_plate(unfinished, PlateSpec(extra_attributes={KNOWN_SHIFTS: known}))
    unfinished.rename(PLATE)
    return True


def _options(*, is_new: bool) -> list[str]:
    """Receipts may be of an earlier demo, whose plates were deleted: then they do not count."""
    if is_new:
        return ["--forceall"] if RESULTS.is_dir() else []
    finished = (RESULTS / "finish_fused_plate.json").is_file()
    return ["--forceall"] if finished and not plate_status(PLATE).complete else []


def _watch(command: Sequence[str], progress: Progress) -> int:
    environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                for line in process.stdout or ():
                    progress.read(line)
            except BaseException:
                process.terminate()  # Snakemake waits for its jobs, and so does the demo
                process.wait()
                raise
        return process.returncode
    finally:
        progress.close()
        signal.signal(signal.SIGTERM, before)


def _was_moved(image: ImageStatus, expected: Sequence[float]) -> bool:
    if image.shifts is None:
        return False
    ends = zip("yx", expected, strict=True)
    return all(
        abs(end - shift) < 0.01
        for axis, shift in ends
        for end in image.shifts.of_axis(axis) or (float("inf"),)
    )


def _moved_text(image: ImageStatus) -> str:
    return " ".join(shift_text(image.shifts, axis) for axis in "yx")


def _here(program: str) -> str:
    """How to call a program of this environment from the clone."""
    beside = Path(sys.prefix, "bin", program)
    return str(beside.relative_to(CLONE)) if beside.is_relative_to(CLONE) else program
