"""What control groups this machine has (cgroups(7)): version 2, version 1, or both at once."""

import os
from functools import cache

_ROOT = "/sys/fs/cgroup"
UNIFIED = f"{_ROOT}/unified"
"""Where a hybrid machine has version 2."""


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
