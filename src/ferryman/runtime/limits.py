"""Limits of a container: what was asked for, and what this machine's control groups can hold.

As with docker, a limit that the machine cannot hold is left out with a warning, and one that makes
no sense is refused (`checked`, when a container is made).  A container that was made on a machine
that could, starts on one that cannot.
"""

import os
from typing import Any, NamedTuple

import msgspec

from ferryman.runtime import cgroups
from ferryman.runtime.settings import HostConfig

_ROOT = "/sys/fs/cgroup"
_LEAST_MEMORY = 6 << 20
_PERIOD = 100_000  # microseconds


class Controllers(NamedTuple):
    """Which limits this machine's control groups know."""

    memory: bool = False
    swap: bool = False
    reservation: bool = False
    swappiness: bool = False
    oom_kill_disable: bool = False
    cpu_shares: bool = False
    cpu_quota: bool = False
    cpuset: bool = False
    pids: bool = False


def found() -> Controllers:
    """Return what this machine's control groups know."""
    mode = cgroups.mode()
    if mode == "none":
        return Controllers()
    return _found_v2() if mode == "v2" else _found_v1()


def _found_v1() -> Controllers:
    def has(controller: str, file: str) -> bool:
        return os.path.exists(f"{_ROOT}/{controller}/{file}")

    return Controllers(
        memory=has("memory", "memory.limit_in_bytes"),
        swap=has("memory", "memory.memsw.limit_in_bytes"),
        reservation=has("memory", "memory.soft_limit_in_bytes"),
        swappiness=has("memory", "memory.swappiness"),
        oom_kill_disable=has("memory", "memory.oom_control"),
        cpu_shares=has("cpu", "cpu.shares"),
        cpu_quota=has("cpu", "cpu.cfs_quota_us"),
        cpuset=has("cpuset", "cpuset.cpus"),
        # The file with the limit is not there for the topmost group.
        pids=has("pids", "cgroup.procs"),
    )


def _found_v2() -> Controllers:
    own = _own_group()
    try:
        with open(f"{own}/cgroup.controllers", encoding="ascii") as f:
            there = f.read().split()
    except OSError:
        there = []
    memory, cpu = "memory" in there, "cpu" in there
    return Controllers(
        memory=memory,
        swap=memory and _has_swap_limit(own),
        reservation=memory,
        cpu_shares=cpu,
        cpu_quota=cpu,
        cpuset="cpuset" in there,
        pids="pids" in there,
    )


def _own_group() -> str:
    """Return the folder of the group that this process is in, the topmost one if it has none."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            if line.startswith("0::"):
                own = _ROOT + line[3:].rstrip("\n").rstrip("/")
                return own if os.path.isdir(own) else _ROOT
    return _ROOT


def _has_swap_limit(own: str) -> bool:
    """Tell whether swap can be limited; the topmost group does not show that itself."""
    if own != _ROOT:
        return os.path.exists(f"{own}/memory.swap.max")
    with os.scandir(_ROOT) as entries:
        return any(os.path.exists(f"{entry.path}/memory.swap.max") for entry in entries)


_DISCARDED = "Your kernel does not support {}. {} discarded."


def checked(asked: HostConfig, can: Controllers, cpus: int) -> tuple[HostConfig, list[str]]:
    """Return the limits as they will be, and docker's warnings about those that cannot be held.

    `cpus` is the number of this machine's processors.  Raises InvalidSettings for what makes no
    sense.
    """
    changed: dict[str, Any] = {}
    warnings = []
    for field, reset, warning in _unheld(asked, can):
        if getattr(asked, field) != reset:
            warnings.append(warning)
        changed[field] = reset
    limits = msgspec.structs.replace(asked, **changed)
    _check_memory(asked if can.memory else limits)
    if limits.memory and not limits.memory_swap and can.swap:
        limits = msgspec.structs.replace(limits, memory_swap=2 * limits.memory)
    if limits.oom_kill_disable and not limits.memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can "
            "result in the system running out of resources."
        )
    _check_cpu(asked, limits, can, cpus)
    return limits, warnings
