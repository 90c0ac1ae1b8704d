"""A process that has imported everything, and forks for each piece of work.

So a crash point costs the time of a fork and of the work, not that of the imports.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.torture.shim import Call, Disturbance, Shim, compile_shim, read_log

ROOT = Path(__file__).parents[2]
WATCH = Disturbance()
PATIENCE = 2.0
"""How long a process may wait for a lock of one that is paused, in seconds."""


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended.

    Attributes
    ----------
    code : int
        Exit code of the process; -9 if it was killed.
    errors : list of str
        For each step, in order, the error that it raised; empty if none. Steps after an error
        are not done.
    calls : int
        Number of calls that change files, if they were numbered.
    other : Outcome, optional
        That of the process that worked while this one paused.
    """

    code: int
    errors: list[str]
    calls: int
    other: Outcome | None = None

    @property
    def killed(self) -> bool:
        """Whether the process was killed."""
        return self.code == -9

    @property
    def error(self) -> str:
        """The error that stopped the work, or nothing."""
        return "" if not self.errors else self.errors[-1]


class Zygote:
    """The warm process, from outside.

    Parameters
    ----------
    folder : Path
        For the compiled shim, and for logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        library = folder / "shim.so"
        if not library.exists():
            compile_shim(folder)
        quiet = {"OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", "tests.torture.zygote", str(library)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **quiet, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def warm(self, root: Path, steps: Sequence[str]) -> None:
        """Do steps once, and import in the warm process what they import."""
        self._ask({"root": str(root), "steps": list(steps), "warm": True})

    def do(
        self,
        root: Path,
        steps: Sequence[str],
        disturbance: Disturbance | None = None,
        meanwhile: Sequence[str] = (),
    ) -> Outcome:
        """Do steps in a new process, with calls numbered and disturbed if it is asked for.

        The steps `meanwhile` are those of another process, if the first is to pause.
        """
        request: dict[str, Any] = {"root": str(root), "steps": list(steps)}
        if disturbance is not None:
            request |= {"disturbance": disturbance.as_json(), "meanwhile": list(meanwhile)}
        answer = self._ask(request)
        other = answer.pop("other", None)
        return Outcome(**answer, other=other and Outcome(**other, calls=0))

    def watch(
        self, root: Path, steps: Sequence[str], disturbance: Disturbance = WATCH
    ) -> tuple[Outcome, list[Call]]:
        """As `do`, with a log of all calls."""
        log = self.folder / "calls.log"
        log.unlink(missing_ok=True)
        request = {"root": str(root), "steps": list(steps), "log": str(log)}
        answer = self._ask({**request, "disturbance": disturbance.as_json()})
        return Outcome(**answer), read_log(log)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the warm process ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


def serve(library: Path) -> None:
    """Answer requests from standard input until it ends."""
    shim = Shim(library)
    for line in sys.stdin:
        request = json.loads(line)
        answer = _answer(shim, request)
        if request.get("warm"):
            for name in answer.pop("modules"):
                importlib.import_module(name)
            threads = len(list(Path("/proc/self/task").iterdir()))
            assert threads == 1, f"{threads} threads before a fork"
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(shim: Shim, request: dict[str, Any]) -> dict[str, Any]:
    """Do the work of a request in a child, and in a second one while the first is paused."""
    first = _Child.fork(shim, request)
    answer: dict[str, Any] = {}
    if first.is_paused():
        second = _Child.fork(shim, {"root": request["root"], "steps": request["meanwhile"]})
        second.ends_within(PATIENCE)
        os.kill(first.pid, signal.SIGCONT)
        answer["other"] = second.result()
    answer.update(first.result())
    return {**answer, "calls": shim.count() if "disturbance" in request else 0}


@dataclass
class _Child:
    """A process that does the work of a request."""

    pid: int
    pipe: int
    status: int | None = None

    @classmethod
    def fork(cls, shim: Shim, request: dict[str, Any]) -> _Child:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            answer = _work(shim, request)
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
        os.close(writing)
        return cls(child, reading)

    def is_paused(self) -> bool:
        """Wait until it ends or pauses; whether it pauses."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self.status = status
        return False

    def ends_within(self, seconds: float) -> None:
        """Wait until it ends, but not longer: it may wait for a lock of a paused process."""
        end = time.monotonic() + seconds
        while self.status is None and time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
            else:
                time.sleep(0.002)

    def result(self) -> dict[str, Any]:
        """Wait until it ends; what it says, and its exit code."""
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
        with os.fdopen(self.pipe) as pipe:
            said = pipe.read()
        answer: dict[str, Any] = json.loads(said) if said else {"errors": []}
        return {**answer, "code": os.waitstatus_to_exitcode(self.status)}


def _work(shim: Shim, request: dict[str, Any]) -> dict[str, Any]:
    from tests.torture.steps import do_step

    os.umask(0o022)
    root, errors = Path(request["root"]), []
    if "disturbance" in request:
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT, 0o600) if "log" in request else -1
        shim.arm(root, Disturbance(**request["disturbance"]), log)
    for step in request["steps"]:
        errors.append(do_step(root, step))
        if errors[-1]:
            break
    if request.get("warm"):
        return {"errors": errors, "modules": _importable()}
    return {"errors": errors}


def _importable() -> list[str]:
    """Modules that another process imports by the same names."""
    return [
        name
        for name, module in list(sys.modules.items())
        if name != "__main__"
        and (spec := getattr(module, "__spec__", None)) is not None
        and spec.name == name
        and spec.origin is not None
        and importlib.util.find_spec(name.partition(".")[0]) is not None
    ]


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
