"""What control groups this machine has (cgroups(7)): version 2, version 1, or both at once."""

import os
import signal
import time
from contextlib import suppress
from functools import cache

_ROOT = "/sys/fs/cgroup"
UNIFIED = f"{_ROOT}/unified"
"""Where a hybrid machine has version 2."""

_PATIENCE = 10.0  # seconds
_PAUSE = 0.005
# What lets frozen processes go on, so that they can be killed, in versions 1 and 2.
_THAWING = {"freezer.state": "THAWED", "cgroup.freeze": "0"}


@cache
def mode() -> str:
    """Return ``v2``, ``v1``, ``hybrid`` (version 1, and 2 beside it), or ``none``."""
    if os.path.exists(f"{_ROOT}/cgroup.controllers"):
        return "v2"
    if os.path.exists(f"{UNIFIED}/cgroup.controllers"):
        return "hybrid"
    return "v1" if os.path.isdir(f"{_ROOT}/memory") or os.path.isdir(f"{_ROOT}/cpu") else "none"


def path(container_id: str) -> str:
    """Return a container's place in every hierarchy."""
    return f"/ferry/{container_id}"


def groups(container_id: str, pid: int) -> dict[str, str]:
    """Return the folders of a container's own groups by controller; version 2 has the name ``""``.

    `pid` is its first process, which may have put itself into groups below.  Empty when the
    container has none: an ordinary user cannot make groups everywhere.
    """
    unified = UNIFIED if mode() == "hybrid" else _ROOT
    found: dict[str, str] = {}
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as f:
            lines = f.read().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    for line in lines:
        _, controllers, place = line.split(":", 2)
        above, own, _ = place.partition(container_id)
        for controller in controllers.split(",") if own else ():
            folder = f"{_ROOT}/{controller}" if controller else unified
            found[controller] = f"{folder}{above}{own}"
    return {name: folder for name, folder in found.items() if os.path.isdir(folder)}


def end(container_id: str) -> None:
    """Kill whatever is left in a container's control groups, and remove these; never fails.

    The OCI runtime has done so if it knew of the container.
    """
    deadline = time.monotonic() + _PATIENCE
    while (left := _folders(container_id)) and time.monotonic() < deadline:
        for folder in left:
            for each, _, _ in os.walk(folder, topdown=False):
                _kill(each)
                with suppress(OSError):  # the killed are on their way
                    os.rmdir(each)
        time.sleep(_PAUSE)


def _folders(container_id: str) -> list[str]:
    """Return a container's control groups that are there, in all hierarchies."""
    within = path(container_id)
    tops = [_ROOT]
    if mode() in ("v1", "hybrid"):
        tops = [f"{_ROOT}/{name}" for name in os.listdir(_ROOT)]
    return [top + within for top in tops if os.path.isdir(top + within)]


def _kill(group: str) -> None:
    with suppress(OSError):
        with open(f"{group}/cgroup.procs", encoding="ascii") as f:
            pids = [int(line) for line in f]
        for pid in filter(None, pids):  # 0 is for who cannot be seen from here
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name, word in _THAWING.items():
            if pids and os.path.exists(f"{group}/{name}"):
                with open(f"{group}/{name}", "w", encoding="ascii") as f:
                    f.write(word)
