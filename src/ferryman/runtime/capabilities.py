"""Capabilities (capabilities(7)): which of root's powers a container has."""

from collections.abc import Collection, Sequence

from ferryman.runtime.settings import InvalidSettings

# In the order of their numbers, which begin at 0.
NAMES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
        "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
        "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
        "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
        "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
        "CHECKPOINT_RESTORE"
    ).split()
)

DEFAULT = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
        "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    ).split()
)
"""What docker leaves a container."""

_ALL = "ALL"


def number(name: str) -> int:
    """Return the number of a capability, which is the number of its bit."""
    return NAMES.index(name)


def mask(names: Collection[str]) -> int:
    """Return capabilities as one number, as ``/proc/self/status`` shows it in hexadecimal."""
    return sum(1 << number(name) for name in names)


def held() -> list[str]:
    """Return the capabilities that this process may give away: those of its bounding set.

    Read anew each time: a process in a user namespace of its own has others than before.
    """
    with open("/proc/self/status", encoding="utf-8", errors="replace") as f:
        fields = dict(line.partition(":")[::2] for line in f)
    bits = int(fields["CapPrm"], 16) & int(fields["CapBnd"], 16)
    return [name for bit, name in enumerate(NAMES) if bits >> bit & 1]


def chosen(
    add: Sequence[str],
    drop: Sequence[str],
    *,
    privileged: bool = False,
    available: Sequence[str],
) -> list[str]:
    """Return what a container gets, in the order of their numbers.

    `add` and `drop` are as users write them, with ``CAP_`` or without, in any case, or ``ALL``.
    Nothing is given that is not `available`: of docker's default capabilities those are left out
    in silence, one that was asked for is refused.  Raises InvalidSettings.
    """
    added, dropped = checked(add, drop, available=available)
    if privileged or _ALL in added:
        names = set(available) - (set() if privileged else dropped)
    elif _ALL in dropped:
        names = added
    else:
        names = set(DEFAULT) - dropped | added
    return [name for name in NAMES if name in names and name in available]


def checked(
    add: Sequence[str], drop: Sequence[str], *, available: Sequence[str]
) -> tuple[set[str], set[str]]:
    """Return the full names of what is to be added and dropped; raises InvalidSettings."""
    return _normal("CapAdd", add, available), _normal("CapDrop", drop, NAMES)


def _normal(field: str, names: Sequence[str], available: Sequence[str]) -> set[str]:
    normal = set()
    for name in map(str.upper, names):
        full = name if name == _ALL or name.startswith("CAP_") else f"CAP_{name}"
        if full != _ALL and full not in NAMES:
            raise InvalidSettings(f'invalid {field}: unknown capability: "{full}"')
        if full != _ALL and full not in available:
            raise InvalidSettings(
                f"invalid {field}: capability not supported by your kernel or not available in "
                f'the current environment: "{full}"'
            )
        normal.add(full)
    return normal
