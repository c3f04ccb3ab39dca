"""Limits of a container: what was asked for, and what this machine's control groups can hold.

As with docker, a limit that the machine cannot hold is left out with a warning, and one that makes
no sense is refused (`checked`, when a container is made).  A container that was made on a machine
that can, also starts on one that cannot (`resources`).
"""

import os
from typing import Any, NamedTuple

import msgspec

from ferryman.rootfs import namespace
from ferryman.runtime import cgroups
from ferryman.runtime.settings import HostConfig, InvalidSettings

_ROOT = "/sys/fs/cgroup"
_LEAST_MEMORY = 6 << 20
_PERIOD = 100_000  # microseconds


class Controllers(NamedTuple):
    """Which limits the control groups of a machine know, and what there is to be limited to."""

    memory: bool = False
    swap: bool = False
    reservation: bool = False
    swappiness: bool = False
    oom_kill_disable: bool = False
    cpu_shares: bool = False
    cpu_quota: bool = False
    cpuset: bool = False
    pids: bool = False
    cpus: str = "0"
    """The numbers of the processors: ``0-3,6``."""
    memories: str = "0"
    """The numbers of the memory nodes."""


def found() -> Controllers:
    """Return what this machine's control groups know."""
    if namespace.ordinary():
        # Their control groups are not theirs to change.
        return Controllers(cpus=_online("cpu"), memories=_online("node"))
    can = {"v2": _found_v2, "v1": _found_v1, "hybrid": _found_v1}.get(cgroups.mode(), Controllers)()
    return can._replace(cpus=_online("cpu"), memories=_online("node"))


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
        # The topmost group, which cannot be limited, does not have the file for the limit.
        pids=has("pids", "cgroup.procs"),
    )


def _found_v2() -> Controllers:
    try:
        with open(f"{_ROOT}/cgroup.controllers", encoding="ascii") as f:
            there = f.read().split()
        # As above: it shows in the groups below, of which every machine has some.
        groups = [_ROOT, *(entry.path for entry in os.scandir(_ROOT) if entry.is_dir())]
    except OSError:
        return Controllers()
    memory, cpu = "memory" in there, "cpu" in there
    return Controllers(
        memory=memory,
        swap=memory and any(os.path.exists(f"{group}/memory.swap.max") for group in groups),
        reservation=memory,
        cpu_shares=cpu,
        cpu_quota=cpu,
        cpuset="cpuset" in there,
        pids="pids" in there,
    )


def _online(kind: str) -> str:
    try:
        with open(f"/sys/devices/system/{kind}/online", encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return "0"


def checked(asked: HostConfig, can: Controllers) -> tuple[HostConfig, list[str]]:
    """Return the limits as they will be, and docker's warnings about those that cannot be held.

    Raises InvalidSettings for what makes no sense.
    """
    if asked.memory and asked.memory < _LEAST_MEMORY:
        raise InvalidSettings("Minimum memory limit allowed is 6MB")
    _check_cpus(asked, can)
    limits, warnings = _held(asked, can)
    if limits.memory and not limits.memory_swap:
        limits = msgspec.structs.replace(limits, memory_swap=2 * limits.memory)
    if limits.memory and limits.memory_swap != -1 and not can.swap:
        limits = msgspec.structs.replace(limits, memory_swap=-1)
        warnings.append(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap."
        )
    _check_memory(limits)
    if limits.oom_kill_disable and not limits.memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can "
            "result in the system running out of resources."
        )
    return limits, warnings


def _held(asked: HostConfig, can: Controllers) -> tuple[HostConfig, list[str]]:
    """Return the settings without the limits that cannot be held, and why they are left out."""
    cgroup = "or the cgroup is not mounted"
    table: list[tuple[bool, dict[str, Any], str]] = [
        (
            can.memory,
            {"memory": 0, "memory_swap": 0},
            f"memory limit capabilities {cgroup}. Limitation discarded.",
        ),
        (
            can.swappiness,
            {"memory_swappiness": None},
            f"memory swappiness capabilities {cgroup}. Memory swappiness discarded.",
        ),
        (
            can.reservation,
            {"memory_reservation": 0},
            f"memory soft limit capabilities {cgroup}. Limitation discarded.",
        ),
        (
            can.oom_kill_disable,
            {"oom_kill_disable": False},
            "OomKillDisable. OomKillDisable discarded.",
        ),
        (
            can.pids or (asked.pids_limit or 0) <= 0,
            {"pids_limit": None},
            f"PIDs limit capabilities {cgroup}. PIDs limit discarded.",
        ),
        (can.cpu_shares, {"cpu_shares": 0}, f"CPU shares {cgroup}. Shares discarded."),
        (
            can.cpu_quota,
            {"cpu_period": 0, "cpu_quota": 0, "nano_cpus": 0},
            "CPU CFS scheduler. CPU period/quota discarded.",
        ),
        (
            can.cpuset,
            {"cpuset_cpus": "", "cpuset_mems": ""},
            f"cpuset {cgroup}. Cpuset discarded.",
        ),
    ]
    warnings = []
    for held, without, words in table:
        if not held and any(getattr(asked, field) != reset for field, reset in without.items()):
            asked = msgspec.structs.replace(asked, **without)
            warnings.append(f"Your kernel does not support {words}")
    return asked, warnings


def _check_memory(limits: HostConfig) -> None:
    if limits.memory and 0 < limits.memory_swap < limits.memory:
        raise InvalidSettings(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if not limits.memory and limits.memory_swap > 0:
        raise InvalidSettings(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if limits.memory_swappiness is not None and not 0 <= limits.memory_swappiness <= 100:
        raise InvalidSettings(
            f"Invalid value: {limits.memory_swappiness}, valid memory swappiness range is 0-100"
        )
    if limits.memory_reservation and limits.memory_reservation < _LEAST_MEMORY:
        raise InvalidSettings("Minimum memory reservation allowed is 6MB")
    if limits.memory and limits.memory < limits.memory_reservation:
        raise InvalidSettings(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_cpus(limits: HostConfig, can: Controllers) -> None:
    if limits.nano_cpus and limits.cpu_period:
        raise InvalidSettings("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if limits.nano_cpus and limits.cpu_quota:
        raise InvalidSettings("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    count = len(numbers(can.cpus))
    if not 0 <= limits.nano_cpus <= count * 10**9:
        raise InvalidSettings(
            f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        )
    if limits.cpu_shares < 0:
        raise InvalidSettings(
            f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer"
        )
    if limits.cpu_period and not 1000 <= limits.cpu_period <= 1_000_000:
        raise InvalidSettings(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < limits.cpu_quota < 1000:
        raise InvalidSettings("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    for kind, what, asked, there in (
        ("cpus", "CPUs", limits.cpuset_cpus, can.cpus),
        ("mems", "memory nodes", limits.cpuset_mems, can.memories),
    ):
        try:
            missing = numbers(asked) - numbers(there)
        except ValueError:
            raise InvalidSettings(f"Invalid value {asked} for cpuset {kind}") from None
        if missing:
            raise InvalidSettings(
                f"Requested {what} are not available - requested {asked}, available: {there}"
            )


def numbers(text: str) -> set[int]:
    """Return the numbers in a list like ``0-3,6``; raises ValueError."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or not (last.isdecimal() if dash else not last):
            raise ValueError(f"no list of numbers: {text}")
        start, end = int(first[:6]), int((last or first)[:6])
        if end < start:
            raise ValueError(f"no list of numbers: {text}")
        found.update(range(start, min(end, start + 2**16) + 1))
    return found


def resources(asked: HostConfig, can: Controllers) -> dict[str, Any]:
    """Return what can be held of the limits, in the words of the runtime specification."""
    limits, _ = _held(asked, can)
    memory = {
        "limit": limits.memory or None,
        "reservation": limits.memory_reservation or None,
        "swap": limits.memory_swap if can.swap and limits.memory_swap > 0 else None,
        "swappiness": limits.memory_swappiness,
        "disableOOMKiller": limits.oom_kill_disable or None,
    }
    cpu = {
        "shares": limits.cpu_shares or None,
        "period": limits.cpu_period or (_PERIOD if limits.nano_cpus else None),
        "quota": limits.cpu_quota or limits.nano_cpus * _PERIOD // 10**9 or None,
        "cpus": limits.cpuset_cpus or None,
        "mems": limits.cpuset_mems or None,
    }
    groups: dict[str, dict[str, Any]] = {"memory": memory, "cpu": cpu}
    if limits.pids_limit is not None and can.pids:
        groups["pids"] = {"limit": limits.pids_limit if limits.pids_limit > 0 else -1}
    set_ = {
        name: {key: value for key, value in group.items() if value is not None}
        for name, group in groups.items()
    }
    return {name: group for name, group in set_.items() if group}
