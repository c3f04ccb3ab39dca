"""Changes of this machine's networks and firewall: one at a time, and each to its end.

All stores share the names of interfaces and the firewall.  A program that changes them outlives the
command that called it, should that be killed, but not its lock: so who it is stands beside the lock
before it is told what to do, and whoever comes next waits for it.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from ferryman.errors import InvalidImage
from ferryman.image.decode import decode
from ferryman.rootfs.namespace import ordinary
from ferryman.runtime import record
from ferryman.runtime.record import Process, exited
from ferryman.store.lock import locked

FOLDER = "/run/ferry"
_LOCK = f"{FOLDER}/network.lock"
_AT_WORK = f"{FOLDER}/network.process"
_TIMEOUT = 60.0


@contextmanager
def changing() -> Iterator[None]:
    """Hold the networks of this machine for the block; an ordinary user has none to change."""
    if ordinary():
        yield
        return
    os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    with locked(_LOCK):
        _await_the_last()
        yield


def change(
    command: Sequence[str], told: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a program that changes networks as it is told on its standard input, to its end.

    The caller holds the networks.  Raises OSError, TimeoutExpired.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        env=environment,
    ) as process:
        try:
            if at_work := record.process(process.pid):
                with open(_AT_WORK, "wb") as f:
                    f.write(msgspec.json.encode(at_work))
            out, errors = process.communicate(told, timeout=_TIMEOUT)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def _await_the_last() -> None:
    try:
        with open(_AT_WORK, "rb") as f:
            last = decode(f.read(), Process, _AT_WORK)
    except (FileNotFoundError, InvalidImage):
        return  # there was none, or it has not been told anything
    exited(last, timeout=_TIMEOUT)
