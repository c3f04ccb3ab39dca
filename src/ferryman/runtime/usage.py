"""What a container uses: its processes, and what the kernel has counted of them.

Its control groups tell that (cgroups(7)).  A container that has none of its own, or not with every
controller, is counted by its processes, as far as they still run.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from ferryman.runtime import cgroups

_GONE = (FileNotFoundError, ProcessLookupError)
_BLKIO = ("blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive")
"""Of version 1: a scheduler may count, and newer kernels count only where there is a limit."""


class Usage(NamedTuple):
    """What a container uses; sizes in bytes, from its start where they are sums."""

    cpu: float = 0.0
    """Seconds of processors' time."""
    memory: int = 0
    """Without what the kernel can drop at once: as docker has it."""
    memory_limit: int = 0
    """The container's, or all that the machine has."""
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    processes: int = 0
    """Threads count too."""


def usage(container_id: str, init: int, *, network: bool) -> Usage:
    """Return what a container uses whose first process is `init`.

    Without `network` nothing is counted of it: what the host's interfaces pass on is not the
    container's.  What has just ended uses nothing.
    """
    groups = cgroups.groups(container_id, init)
    first = groups.keys() - {""}
    counted = _by_groups_v1(groups) if first else _by_group_v2(groups.get("", ""))
    if None in counted:
        other = _by_processes(processes(container_id, init))._asdict()
        counted = _Counted(**other | {k: v for k, v in counted._asdict().items() if v is not None})
    received, sent = _network(init) if network else (0, 0)
    memory = _memory_of_machine()
    return Usage(
        cpu=counted.cpu or 0.0,
        memory=counted.memory or 0,
        memory_limit=min(counted.limit or memory, memory),
        received=received,
        sent=sent,
        read=counted.read or 0,
        written=counted.written or 0,
        processes=counted.tasks or 0,
    )


def processes(container_id: str, init: int) -> list[int]:
    """Return the process IDs of a container whose first process is `init`."""
    groups = cgroups.groups(container_id, init)
    if not groups:
        return sorted(_related(init))
    found: set[int] = set()
    group = groups.get("pids") or groups.get("") or next(iter(groups.values()))
    for folder, _, _ in os.walk(group):
        found.update(map(int, (_text(f"{folder}/cgroup.procs") or "").split()))
    return sorted(found)


class _Counted(NamedTuple):
    """What one way of counting knows; None for what it does not."""

    cpu: float | None
    memory: int | None
    limit: int
    """0 where there is none."""
    read: int | None
    written: int | None
    tasks: int | None


def _by_group_v2(group: str) -> _Counted:
    cpu = _table(f"{group}/cpu.stat").get("usage_usec")
    transfers = _text(f"{group}/io.stat")
    return _Counted(
        cpu=None if cpu is None else cpu / 1e6,
        memory=_in_use(f"{group}/memory.current", f"{group}/memory.stat", "inactive_file"),
        limit=_number(f"{group}/memory.max") or 0,
        read=_sum(transfers, "rbytes="),
        written=_sum(transfers, "wbytes="),
        tasks=_number(f"{group}/pids.current"),
    )


def _by_groups_v1(groups: dict[str, str]) -> _Counted:
    memory = groups.get("memory", "")
    cpu = _number(f"{groups.get('cpuacct', '')}/cpuacct.usage")
    transfers = (_text(f"{groups.get('blkio', '')}/{name}") for name in _BLKIO)
    counts = next((text for text in transfers if text and " Read " in text), None)
    usage, stat = f"{memory}/memory.usage_in_bytes", f"{memory}/memory.stat"
    return _Counted(
        cpu=None if cpu is None else cpu / 1e9,
        memory=_in_use(usage, stat, "total_inactive_file"),
        limit=_number(f"{memory}/memory.limit_in_bytes") or 0,
        read=_sum(counts, "Read "),
        written=_sum(counts, "Write "),
        tasks=_number(f"{groups.get('pids', '')}/pids.current"),
    )


def _in_use(current: str, stat: str, inactive: str) -> int | None:
    used = _number(current)
    if used is None:
        return None
    idle = _table(stat).get(inactive, 0)
    return used - idle if idle < used else used


def _by_processes(pids: list[int]) -> _Counted:
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    cpu, memory, read, written, tasks = 0.0, 0, 0, 0, 0
    for pid in pids:
        with suppress(*_GONE, PermissionError, IndexError):
            with open(f"/proc/{pid}/stat", "rb") as f:
                fields = f.read().rpartition(b")")[2].split()
            # proc(5): times of its own and of its children that have ended; threads.
            cpu += sum(map(int, fields[11:15])) / tick
            tasks += int(fields[17])
            memory += int(fields[21]) * page
            transfers = _table(f"/proc/{pid}/io", ":")
            read += transfers.get("read_bytes", 0)
            written += transfers.get("write_bytes", 0)
    return _Counted(cpu, memory, 0, read, written, tasks)


def _related(init: int) -> Iterator[int]:
    """Yield a process, its descendants, and what is in a PID namespace of its own with it."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    own = _namespace(init)
    apart = own is not None and own != _namespace(os.getpid())
    parents = {pid: _parent(pid) for pid in pids}
    for pid in pids:
        above: int | None = pid
        while above and above != init:
            above = parents.get(above)
        if above == init or (apart and _namespace(pid) == own):
            yield pid


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return int(f.read().rpartition(b")")[2].split()[1])
    except _GONE:
        return None


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except (*_GONE, PermissionError):
        return None


def _network(pid: int) -> tuple[int, int]:
    """Return what the interfaces of a process have received and sent, loopback left out."""
    received = sent = 0
    for line in (_text(f"/proc/{pid}/net/dev") or "").splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo" and len(fields) > 8:
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent


def _memory_of_machine() -> int:
    return _table("/proc/meminfo", ":").get("MemTotal", 0) * 1024


def _sum(text: str | None, name: str) -> int | None:
    """Add up the numbers that follow a name; None when there is no text."""
    if text is None:
        return None
    return sum(int(part.split(maxsplit=1)[0]) for part in text.split(name)[1:])


def _table(path: str, separator: str | None = None) -> dict[str, int]:
    """Return the numbers of a file by the words before them."""
    found: dict[str, int] = {}
    for line in (_text(path) or "").splitlines():
        name, *rest = line.split(separator, 1)
        numbers = rest[0].split() if rest else []
        if numbers and numbers[0].isdecimal():
            found[name] = int(numbers[0])
    return found


def _number(path: str) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) if text.isdecimal() else None


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            return f.read()
    except (OSError, ValueError):
        return None
