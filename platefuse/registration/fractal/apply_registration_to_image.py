"""The task *Apply Registration to Image*; see `platefuse.apply_registration_to_image`."""

from __future__ import annotations

import sys

from platefuse.registration.api import apply_registration_to_image
from platefuse.registration.fractal.run import run_task
from platefuse.storage.memory import reuse_blocks

if __name__ == "__main__":
    reuse_blocks()
    sys.exit(run_task(apply_registration_to_image, sys.argv[1:]))
