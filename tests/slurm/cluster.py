"""A real Slurm of one node for tests: munged, slurmctld and slurmd, on a configuration of its own.

Slurm reads `/etc/slurm/slurm.conf` in nested steps whatever the environment says, so the file must
be there. A file that these tests did not write is never touched. Several test processes share one
Slurm: the first one starts it, and the last one stops it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

CONF = Path("/etc/slurm/slurm.conf")
MARK = "# Written by the tests of platefuse, and removed by them."
HOME = Path("/run/platefuse-slurm")
USERS = HOME / "users.json"
DAEMONS = HOME / "daemons.json"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
CPUS = 4
"""More than the machine may have: tests wait for each other less."""

TEMPLATE = """{mark}
ClusterName=platefuse
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
CredType=cred/munge
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=1
ReturnToService=2
MinJobAge=300
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Job:
    """A Slurm job as `squeue` shows it."""

    number: str
    state: str
    comment: str


@dataclass(frozen=True)
class Process:
    """A process, which no later one with the same number is taken for."""

    pid: int
    begun: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this number now."""
        return cls(pid, _stat(pid)[19])

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        try:
            stat = _stat(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return stat[0] != "Z" and stat[19] == self.begun


def _stat(pid: int) -> list[str]:
    """State, parent, and so on of a process: see proc(5), from the third field on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def why_not() -> str | None:
    """Why no Slurm can be started here; None if it can."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"no Slurm to test on: {', '.join(missing)} not found"
    if os.geteuid() != 0:
        return "only root can start a Slurm for tests"
    if CONF.exists() and not CONF.read_text().startswith(MARK):
        return f"a Slurm is configured here ({CONF}), and tests leave it alone"
    return None


@contextlib.contextmanager
def running() -> Iterator[None]:
    """A Slurm that runs inside of the context."""
    HOME.mkdir(mode=0o755, exist_ok=True)
    try:
        with _locked():
            users = _living(USERS)
            if not users:
                _stop(_living(DAEMONS))
                _start()
            _write(USERS, [*users, Process.of(os.getpid())])
        yield
    finally:
        with _locked():
            users = [user for user in _living(USERS) if user.pid != os.getpid()]
            _write(USERS, users)
            if not users:
                _stop(_living(DAEMONS))
                _write(DAEMONS, [])
                CONF.unlink(missing_ok=True)


def jobs(*options: str) -> list[Job]:
    """The jobs that wait or run."""
    lines = _output("squeue", "--noheader", "--format=%i|%T|%k", *options).splitlines()
    return [Job(*line.split("|", 2)) for line in lines]


def wait_for(done: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited {seconds} s for: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    with (HOME / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start() -> None:
    for name in ("state", "spool"):
        shutil.rmtree(HOME / name, ignore_errors=True)
        (HOME / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    controller, node = _free_ports(2)
    CONF.parent.mkdir(exist_ok=True)
    CONF.write_text(
        TEMPLATE.format(
            mark=MARK, host=host, home=HOME, controller=controller, node=node, cpus=CPUS,
            memory=max(8000, page * pages // 2**20 - 1000),
        )
    )  # fmt: skip
    key = HOME / "munge.key"
    key.unlink(missing_ok=True)
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    munged = [
        "munged", "--force", f"--key-file={key}", f"--socket={HOME}/munge.socket",
        f"--pid-file={HOME}/munged.pid", f"--log-file={HOME}/munged.log",
        f"--seed-file={HOME}/munged.seed",
    ]  # fmt: skip
    for command in (munged, ["slurmctld"], ["slurmd"]):
        pid = HOME / f"{command[0]}.pid"
        pid.unlink(missing_ok=True)
        with (HOME / f"{command[0]}.out").open("w") as out:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True)
        wait_for(partial(_has_number, pid), f"the number of a process in {pid}", 20)
        _write(DAEMONS, [*_living(DAEMONS), Process.of(int(pid.read_text()))])
    wait_for(lambda: "idle" in _output("sinfo", "--noheader", "--format=%T"), "an idle node", 60)


def _stop(daemons: list[Process]) -> None:
    """End the daemons, the node first, after the jobs."""
    if daemons:
        _output("scancel", "--partition=tests")
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not jobs(), "the end of all jobs", 20)
    for daemon in reversed(daemons):
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(partial(_has_ended, daemon), f"the end of {daemon}", 30)


def _has_ended(daemon: Process) -> bool:
    return not daemon.is_alive


def _has_number(file: Path) -> bool:
    return file.exists() and file.read_text().strip().isdigit()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _output(*command: str) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return run.stdout


def _living(file: Path) -> list[Process]:
    try:
        listed = [Process(*one) for one in json.loads(file.read_text())]
    except FileNotFoundError:
        return []
    return [process for process in listed if process.is_alive]


def _write(file: Path, processes: list[Process]) -> None:
    file.write_text(json.dumps([(one.pid, one.begun) for one in processes]))
