"""The codec limit: decode every chunk of the sources, encode every chunk of the targets.

Every program that reads these sources and writes these targets has to do this. The codecs are
those that platefuse uses. The pixels are read into memory and the arrays are created before the
timing begins. The calls are zarr's ordinary calls, or run in the calling threads as in platefuse.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal

from benchmarks.jobs.protocol import run_job
from platefuse.storage.arrays import get, put
from platefuse.storage.threads import run_tasks

Slices = tuple[slice, ...]


class Copying:
    """A job that decodes and encodes all chunks when it is called.

    Parameters
    ----------
    sources : list of str
        Paths of the arrays whose chunks are decoded.
    templates : list of str
        Paths of the arrays whose chunks are encoded.
    output : str
        New folder for the encoded arrays.
    threads : int
        Number of threads.
    own_calls : bool
        Whether each thread runs zarr's calls itself.
    """

    def __init__(
        self,
        sources: list[str],
        templates: list[str],
        output: str,
        threads: int,
        own_calls: bool = False,
    ) -> None:
        self._threads, self._own_calls = threads, own_calls
        self._reads = [(array, box) for array in map(_open, sources) for box in _boxes(array)]
        begun, cpu_begun = time.perf_counter(), time.process_time()
        self._writes = []
        for number, template in enumerate(templates):
            array, target = _open(template), _twin(Path(template), Path(output) / str(number))
            self._writes += [(target, box, array[box]) for box in _boxes(array)]
        self.notes = {
            "untimed_s": time.perf_counter() - begun,
            "untimed_cpu_s": time.process_time() - cpu_begun,
            "decoded": len(self._reads),
            "encoded": len(self._writes),
        }

    def __call__(self) -> None:
        if self._own_calls:
            reads = (partial(get, *read) for read in self._reads)
            writes = (partial(put, *write) for write in self._writes)
            run_tasks(chain(reads, writes), self._threads)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            for _ in pool.map(lambda read: read[0][read[1]].shape, self._reads):
                pass
            for _ in pool.map(lambda write: write[0].__setitem__(*write[1:]), self._writes):
                pass


def _open(path: str | Path, mode: Literal["r", "r+"] = "r") -> Any:
    import zarr

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(path, mode=mode)


def _twin(template: Path, target: Path) -> Any:
    """Create an empty array with the metadata of another one."""
    target.mkdir(parents=True)
    for name in (".zarray", "zarr.json"):
        if (template / name).exists():
            shutil.copyfile(template / name, target / name)
    return _open(target, "r+")


def _boxes(array: Any) -> Iterator[Slices]:
    """Yield the units of encoding: every chunk, or every shard."""
    unit = array.shards or array.chunks
    for corner in product(*(range(0, n, u) for n, u in zip(array.shape, unit, strict=True))):
        yield tuple(slice(a, a + u) for a, u in zip(corner, unit, strict=True))


def prepare(**arguments: Any) -> Callable[[], object]:
    from platefuse.storage.memory import reuse_blocks

    reuse_blocks()  # as in platefuse's jobs, for a fair comparison
    return Copying(**arguments)


if __name__ == "__main__":
    run_job(prepare)
