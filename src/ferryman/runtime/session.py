"""A command executed in a running container, looked after by a monitor of its own.

As with docker, what was executed goes on when the one who started it is gone: the monitor (conmon)
has its streams, and takes back the session's folder at the end.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

from ferryman.runtime import monitor, programs
from ferryman.runtime.engine import Engine, EngineError, arguments, plain
from ferryman.store import durable

_MAX_ANSWER = 1 << 16
_KILLED = 128 + signal.SIGKILL


class Session(NamedTuple):
    """A command that runs, and the pipe on which its monitor will tell its exit code."""

    folder: str
    answers: BinaryIO

    def exit_code(self) -> int:
        """Wait for its end; one that nobody has seen counts as a kill."""
        with self.answers:
            code = _answer(self.answers).get("data")
        return code if isinstance(code, int) and code >= 0 else _KILLED


def start(
    engine: Engine,
    container_id: str,
    folder: str,
    process: Mapping[str, Any],
    *,
    stdin: bool,
    attach: Callable[[str], None] | None,
) -> Session:
    """Execute a process (runtime specification, "process") in a container; return when it runs.

    `folder` is where sessions have their folders.  `attach` is called with that of this one before
    the process is there; without it nobody is attached.  Raises EngineError in docker's words when
    it cannot be started, MissingProgram, OSError.
    """
    conmon = programs.needed("conmon", "conmon", "to look after what runs in containers")
    at = f"{folder}/{os.urandom(8).hex()}"
    os.makedirs(at, mode=0o700)
    with open(f"{at}/process.json", "w", encoding="utf-8") as f:
        json.dump(process, f)
    command = _command(conmon, engine, container_id, at)
    for wanted, option in (
        (bool(process.get("terminal")), "--terminal"),
        (bool(process.get("terminal")), "--leave-stdin-open"),
        (stdin, "--stdin"),
        (attach is not None, "--exec-attach"),
    ):
        if wanted:
            command.append(option)
    answers = _begin(engine.shown(command), at, attach)
    said = _answer(answers)
    number = said.get("data")
    if not isinstance(number, int) or number <= 0:
        answers.close()
        durable.remove(at)
        raise failed(plain(str(said.get("message", ""))) or "the monitor has ended")
    return Session(at, answers)


def _begin(command: Sequence[str], at: str, attach: Callable[[str], None] | None) -> BinaryIO:
    """Start conmon, let it go on when somebody is attached; return the pipe of its answers."""
    (answers, told), (wait, go), (ready, attachable) = os.pipe(), os.pipe(), os.pipe()
    said = open(answers, "rb")
    with open(go, "wb", buffering=0) as gone, open(ready, "rb") as readiness:
        try:
            conmon = subprocess.Popen(
                command,
                env=monitor.environment(told, wait) | {"_OCI_ATTACHPIPE": str(attachable)},
                pass_fds=(told, wait, attachable),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            for fd in (told, wait, attachable):
                os.close(fd)
        with suppress(BrokenPipeError):  # it has ended: its answer will say why
            gone.write(b"\0")
            # It has its sockets when it says so, and executes nothing before it is told to.
            if attach and _answer(readiness):
                attach(at)
                gone.write(b"\0")
    # The one that stays is a child of this one.
    conmon.wait()
    return said


def _command(conmon: str, engine: Engine, container_id: str, at: str) -> list[str]:
    remove = programs.needed("rm", "coreutils", "to clear up")
    return [
        *(conmon, "--api-version", "1", "--exec", "--exec-process-spec", f"{at}/process.json"),
        *("--cid", container_id, "--cuuid", os.path.basename(at)),
        *("--runtime", engine.path, *arguments(engine.options, "--runtime-arg")),
        *("--bundle", at, "--container-pidfile", f"{at}/pid"),
        # What it says goes to whoever is attached, and is no part of the container's log.
        *("--log-path", "none", "--log-level", "error", "--full-attach", "--no-sync-log"),
        *("--exit-command", remove, *arguments(["-rf", at], "--exit-command-arg")),
    ]


def _answer(answers: BinaryIO) -> dict[str, Any]:
    try:
        said = json.loads(answers.readline(_MAX_ANSWER))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def failed(message: str) -> EngineError:
    """Return docker's error for a command that could not be executed.

    127 is for a program that is not there, 126 for all else.
    """
    lowered = message.lower()
    missing = "executable file" in lowered or "no such file or directory" in lowered
    return EngineError(f"OCI runtime exec failed: {message}: unknown", 127 if missing else 126)
