"""Common part of the scripts: the job's wildcards and params as the core's types, log and receipt.

A script imports it first, so that it finds the package in the clone whether or not that is
installed. Snakemake has the scripts' folder on the path; the tests put it there.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's, unused here: they spin as it starts

from platefuse.errors import NO_MEMORY, PlatefuseError, shortened
from platefuse.measuring.options import MeasureOptions, PairOptions
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.paths import fused_plate_path, real_plate
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well, WellImage
from platefuse.records import JobUsage, Receipt
from platefuse.registration.request import RegistrationRequest, Verify
from platefuse.storage.memory import collect_rarely, reuse_blocks

reuse_blocks()  # at import: the scripts import what starts threads afterwards
collect_rarely()

if TYPE_CHECKING:
    from platefuse.fusion.options import FusionOptions
    from platefuse.illumination.correction import Illumination
    from platefuse.workflow.sources import FusionSources

logger = logging.getLogger("platefuse")


class Job:
    """What Snakemake passes to a script, as the types of the core.

    Parameters
    ----------
    wildcards, params : mapping
        Those of the job. What the rule does not have must not be asked for.
    threads : int
        Number of threads.
    inputs, outputs : sequence of str
        Paths of its files.
    config : mapping
        The workflow's config, for what must not make a job run again.
    """

    def __init__(
        self,
        wildcards: Any,
        params: Any,
        threads: int,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.given: dict[str, Any] = {**wildcards, **params}
        self.threads, self.inputs, self.outputs = threads, list(inputs), list(outputs)
        self.config: Mapping[str, Any] = config or {}

    @cached_property
    def plate(self) -> Plate:
        """The plate, with the images to process."""
        return Plate.open(self.given["plate"], self.given["images"])

    @property
    def well(self) -> Well:
        """The well."""
        return self.plate.well(self.given["row"], self.given["column"])

    @property
    def image(self) -> WellImage:
        """The image."""
        return self.well.image(self.given["image"])

    def do(self, step: Callable[[Job], Receipt], image: str | None) -> Receipt:
        """Do a step of the job, for the image of this path or, without one, for the well."""
        return step(self if image is None else self._of_image(image))

    def _of_image(self, name: str) -> Job:
        job = Job(self.given, {"image": name}, self.threads, self.inputs, self.outputs)
        job.__dict__["plate"] = self.plate  # read once
        return job

    @property
    def request(self) -> RegistrationRequest:
        """The registration to apply."""
        return RegistrationRequest(**self.given["request"])

    def check_measured(self) -> None:
        """Check that the well was not left out when its plate was measured, if it was measured.

        Raises
        ------
        MeasureError
            If it was: why.
        """
        from platefuse.measuring.receipt import check_measured
        from platefuse.workflow.receipts import SOLVED, measured_receipt

        for file in map(Path, self.inputs):
            if file.name == SOLVED:
                check_measured(self.well, measured_receipt(file, self.well))

    @property
    def keep_originals(self) -> bool:
        """Whether the originals are kept."""
        if "keep_originals" in self.given:
            return bool(self.given["keep_originals"])
        return bool(self.config["keep_originals"][self.given["plate"]])

    @property
    def verify(self) -> Verify:
        """What of a registered image is compared with its original."""
        verify: Verify = self.config["verify"][self.given["plate"]]
        return verify

    @property
    def fused(self) -> Path:
        """Folder of the fused plate."""
        return fused_plate_path(real_plate(Path(self.given["plate"])), self.given["output"])

    @property
    def options(self) -> FusionOptions:
        """How to fuse."""
        from platefuse.fusion.options import FusionOptions

        return FusionOptions(**self.given["options"])

    @property
    def read_as(self) -> InputOptions:
        """How the images of a well are read."""
        return InputOptions(**self.given["read_as"])

    @property
    def sources(self) -> FusionSources:
        """The images to fuse, and how."""
        from platefuse.workflow.sources import FusionSources

        given = self.given
        request = self.request if given["request"] else None
        return FusionSources(
            self.options, self.read_as, request, given["store"], given["places"], self.illumination
        )

    @property
    def illumination(self) -> Illumination | None:
        """How raw pixels are corrected."""
        from platefuse.illumination.correction import Illumination

        given = self.given["illumination"]
        return Illumination.of_config(**given) if given else None

    @property
    def pairs(self) -> PairOptions:
        """How pairs of fields are measured."""
        return PairOptions(**self.given["measure"])

    @property
    def measure(self) -> MeasureOptions:
        """How shifts are measured."""
        return MeasureOptions(**self.given["measure"])

    @property
    def wells(self) -> list[str]:
        """The wells of the plate that are processed, for example ``["B/03"]``."""
        return list(self.given["wells"])

    @property
    def part(self) -> int:
        """Number of the part of a scattered well."""
        return int(self.given["part"])

    @property
    def scatter(self) -> int:
        """Number of parts over which a well is scattered."""
        return int(self.given["scatter"])


def run(work: Callable[[Job], Receipt]) -> None:
    """Do the job for which Snakemake started this script, and write its receipt.

    Parameters
    ----------
    work : callable
        Does the work of the rule and returns its receipt.

    Raises
    ------
    SystemExit
        If the input or the disk is at fault: with one message, in the log and on stderr.
    """
    snakemake = sys.modules["__main__"].snakemake
    logging.basicConfig(
        filename=snakemake.log[0], filemode="w", format="%(asctime)s %(levelname)s %(message)s"
    )
    logger.setLevel(logging.INFO)
    wildcards, params = dict(snakemake.wildcards), dict(snakemake.params)
    job = Job(
        wildcards, params, snakemake.threads, snakemake.input, snakemake.output, snakemake.config
    )
    logger.info("%s with %d threads and %s", work.__name__, job.threads, job.given)
    receipt = snakemake.output.get("receipt", snakemake.output[0])
    asked = snakemake.resources
    try:
        done = work(job)
        used = JobUsage.of_this_process(
            job.threads, asked_mb=asked.get("mem_mb"), asked_minutes=asked.get("runtime")
        )
        replace(done, used=used).write(receipt)
        logger.info("done with %s; the receipt is %s", used, receipt)
    except (PlatefuseError, OSError) as error:
        logger.error("%s", error)
        sys.exit(f"{type(error).__name__}: {shortened(str(error))}")
    except MemoryError:
        logger.error("%s", NO_MEMORY)  # where does not matter
        sys.exit(f"MemoryError: {NO_MEMORY}")
    except Exception:  # a mistake in platefuse: its traceback belongs in the log, too
        logger.exception("%s ended by an unexpected error", work.__name__)
        raise
