"""The monitor: conmon, which outlives the command that started it.

It holds a container's terminal or pipes, writes its log and its exit code, and calls
``ferry container cleanup`` at the end.  It lives in a mount namespace of its own, in which the
container's root filesystem is mounted: when it ends, however that may be, the kernel takes those
mounts back.
"""

import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

from ferryman.errors import FerryError
from ferryman.runtime import cgroups, programs, record
from ferryman.runtime.engine import Engine, EngineError, arguments, create_failed, plain
from ferryman.runtime.record import Process

_MAX_ANSWER = 1 << 20


class Job(NamedTuple):
    """What a monitor is to look after."""

    container_id: str
    name: str
    bundle: str
    """The folder with ``config.json``; sockets and process IDs are written to it too."""
    log: str | None
    """The file for what it says; None when that is not kept."""
    exits: str
    """The folder for the exit code."""
    terminal: bool
    stdin: bool
    keep_stdin: bool
    """Whether its standard input stays open when the one who was attached goes."""
    log_limit: int | None
    """Bytes that the log may have."""
    at_end: Sequence[str]
    """The command to be run when the container has ended."""


class Started(NamedTuple):
    """A container that has been created, and waits to be started."""

    init: Process
    monitor: Process


class Beginning:
    """A monitor that has been started, and has its container created at this moment."""

    def __init__(self, engine: Engine, job: Job, pid: int, answer: int) -> None:
        """Take over the child that becomes the monitor, and the pipe that it will answer by."""
        self._engine = engine
        self._job = job
        self._pid = pid
        self._answer = answer

    def created(self) -> Started:
        """Wait until the container is there; raises EngineError, for what `prepare` raised too."""
        said = b""
        try:
            while len(said) < _MAX_ANSWER and (more := os.read(self._answer, 1 << 16)):
                said += more
                if said.endswith(b"\n"):
                    break
        finally:
            os.close(self._answer)
            os.waitpid(self._pid, 0)
        return _started(self._engine, self._job, said)


def begin(
    engine: Engine, job: Job, prepare: Callable[[], None], keep: Sequence[int] = ()
) -> Beginning:
    """Start a monitor, and have it create the container; the caller then waits for `created`.

    `prepare` is called first, in the monitor's mount namespace: it mounts the root filesystem and
    writes the bundle.  The files of `keep` stay open as long as the monitor lives.  Raises
    MissingProgram.
    """
    conmon = programs.needed("conmon", "conmon", "to look after running containers")
    answer, told = os.pipe()
    wait, go = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(answer)
        os.close(go)
        _become(conmon, engine, job, prepare, told, wait, keep)
    os.close(told)
    os.close(wait)
    # conmon waits for this before it does anything: podman moves it to a cgroup first.  A child
    # that has failed waits for nothing; its answer says why.
    with suppress(BrokenPipeError):
        os.write(go, b"\0")
    os.close(go)
    return Beginning(engine, job, pid, answer)


def _started(engine: Engine, job: Job, said: bytes) -> Started:
    try:
        told = json.loads(said.splitlines()[-1]) if said else {}
    except ValueError:
        told = {}
    if "failed" in told:
        raise EngineError(str(told["failed"]), int(told["exit_code"]))
    number = told.get("data", told.get("pid", -1))
    if not isinstance(number, int) or number <= 0:
        message = plain(str(told.get("message", ""))) or f"the monitor said: {said[-500:]!r}"
        raise create_failed(engine.name, message)
    init = record.process(number)
    with open(f"{job.bundle}/conmon.pid", encoding="ascii") as f:
        monitor = record.process(int(f.read()))
    if init is None or monitor is None:
        raise EngineError("the container ended before it was started")
    return Started(init, monitor)


def _become(
    conmon: str,
    engine: Engine,
    job: Job,
    prepare: Callable[[], None],
    told: int,
    wait: int,
    keep: Sequence[int],
) -> NoReturn:
    """Make the mounts and turn this process, a child, into conmon."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        from ferryman.rootfs import namespace

        namespace.private_mounts()
        if engine.hides_unified:
            namespace.cover(cgroups.UNIFIED)
        prepare()
        for fd in (told, wait, *keep):
            os.set_inheritable(fd, True)
        # Whoever reads what ferry prints is not to wait for the container's end.
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.execve(conmon, _command(conmon, engine, job), environment(told, wait))
    except BaseException as e:
        known = isinstance(e, FerryError)
        said = {
            "failed": str(e) if known else f"cannot start the container: {e}",
            "exit_code": e.exit_code if isinstance(e, EngineError) else 125,
        }
        os.write(told, json.dumps(said).encode() + b"\n")
    os._exit(1)


def environment(told: int, wait: int) -> dict[str, str]:
    """Return the environment of a monitor that tells by one pipe, and waits for another."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"_OCI_SYNCPIPE": str(told), "_OCI_STARTPIPE": str(wait)}


_KEPT = ("PATH", "HOME", "LANG", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "PYTHONPATH", "TMPDIR")


def _command(conmon: str, engine: Engine, job: Job) -> list[str]:
    command = [
        *(conmon, "--api-version", "1"),
        *("--cid", job.container_id, "--cuuid", job.container_id, "--name", job.name),
        *("--runtime", engine.path, *arguments(engine.options, "--runtime-arg")),
        *("--bundle", job.bundle, "--container-pidfile", f"{job.bundle}/pid"),
        *("--conmon-pidfile", f"{job.bundle}/conmon.pid"),
        *("--exit-dir", job.exits, "--persist-dir", job.exits),
        *("--log-path", f"k8s-file:{job.log}" if job.log else "none", "--log-level", "error"),
        *("--full-attach", "--no-sync-log"),
        *("--exit-command", job.at_end[0], *arguments(job.at_end[1:], "--exit-command-arg")),
    ]
    if job.log_limit is not None:
        command += ["--log-size-max", str(job.log_limit)]
    for wanted, option in (
        (job.terminal, "--terminal"),
        (job.stdin, "--stdin"),
        (job.keep_stdin, "--leave-stdin-open"),
    ):
        if wanted:
            command.append(option)
    return command
