"""The lock of a whole run: one on each plate that it reads, and on each that it fuses into.

The main process holds it until it ends. Its jobs, and whoever calls functions of the package, take
the locks of images and wells only.
"""

from __future__ import annotations

import atexit
import errno
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from platefuse.ngff.paths import fused_plate_path, staging_root
from platefuse.ngff.plate import Plate
from platefuse.storage.locks import claim, holder_of, shared_folder
from platefuse.workflow.config.model import Config

_LOCK = ".run.lock"
_PROTECTED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def plate_lock(plate: Path) -> Iterator[None]:
    """Hold the lock of a plate: no other run uses it meanwhile, from wherever it is started.

    A plate that nobody may write beside has no lock. It can be read only.

    Parameters
    ----------
    plate : Path
        Its folder, which need not exist.

    Raises
    ------
    LockError
        If another run uses it; nothing is changed.
    """
    root = staging_root(plate)
    with ExitStack() as locks:
        try:
            locks.enter_context(shared_folder(root))
            locks.enter_context(claim(root / _LOCK, f"plate {plate}"))
        except OSError as error:
            if error.errno not in _PROTECTED:
                raise
        yield


def user_of_plate(plate: Path) -> str | None:
    """The process whose run uses a plate now, in words; None if there is none.

    Parameters
    ----------
    plate : Path
        Its folder, which is only read.
    """
    return holder_of(staging_root(plate) / _LOCK)


class RunLock:
    """The locks of all plates of a run.

    Parameters
    ----------
    config : Config
        The config.
    plates : mapping of str to Plate
        Its plates.
    """

    def __init__(self, config: Config, plates: Mapping[str, Plate]) -> None:
        self._folders = [plate.path for plate in plates.values()]
        for name, plate in plates.items():
            fusion = config.by_plate[name].fusion
            if fusion.enabled:
                self._folders.append(fused_plate_path(plate.path, fusion.output))
        self._locks = ExitStack()

    def hold(self) -> None:
        """Hold the locks until `release`, or until the process ends.

        Raises
        ------
        LockError
            If another run uses one of the plates; nothing is changed.
        """
        with ExitStack() as locks:
            for folder in self._folders:
                locks.enter_context(plate_lock(folder))
            self._locks = locks.pop_all()
        atexit.register(self.release)  # also if the run is interrupted

    def release(self) -> None:
        """Release the locks; nothing happens if they are not held."""
        self._locks.close()
