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
