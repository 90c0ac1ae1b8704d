"""What the scripts share: this clone's package, a log file, one clear message, a receipt.

A script imports it first, so that it finds the package in the clone whether or not that is
installed. Snakemake has the scripts' folder on the path; the tests put it there.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's, unused here: they spin as it starts

from platefuse.errors import PlatefuseError
from platefuse.records import Receipt
from platefuse.storage.threads import reuse_blocks

reuse_blocks()  # at import: the scripts import what starts threads afterwards

logger = logging.getLogger("platefuse")


def run(work: Callable[..., Receipt]) -> None:
    """Do the job that Snakemake started this script for, and leave its receipt.

    Parameters
    ----------
    work : callable
        Does what the rule is for and returns its receipt. Its parameters are
        named after wildcards and params of the rule; a param hides the wildcard of its name.

    Raises
    ------
    SystemExit
        The fault lies in the input or with the disk: one message, in the log and on stderr.
    """
    job = sys.modules["__main__"].snakemake
    logging.basicConfig(
        filename=job.log[0], filemode="w", format="%(asctime)s %(levelname)s %(message)s"
    )
    logger.setLevel(logging.INFO)
    known = {"threads": job.threads, **job.wildcards, **job.params}
    options = {name: known[name] for name in inspect.signature(work).parameters}
    logger.info("%s with %s", work.__name__, options)
    try:
        work(**options).write(job.output[0])
        logger.info("done; the receipt is %s", job.output[0])
    except (PlatefuseError, OSError) as error:
        logger.error("%s", error)
        sys.exit(f"{type(error).__name__}: {error}")
    except Exception:  # a mistake of ours: its traceback belongs into the log, too
        logger.exception("%s ended by an unexpected error", work.__name__)
        raise
