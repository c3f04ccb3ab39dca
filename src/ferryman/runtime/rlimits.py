"""Resource limits of processes (getrlimit(2)): ``--ulimit``."""

import resource
from collections.abc import Sequence
from typing import Any

from ferryman.runtime.settings import InvalidSettings, Ulimit

_NUMBERS = {
    name.removeprefix("RLIMIT_").lower(): getattr(resource, name)
    for name in dir(resource)
    if name.startswith("RLIMIT_")
}
NAMES = frozenset(
    (
        "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending "
        "stack"
    ).split()
)
"""What docker takes: all but ``as``."""
# Linux never had an effect for it any more, so Python has no name for it.
_NUMBERS.setdefault("locks", 10)
_UNLIMITED = 2**64 - 1


def raised(ulimits: Sequence[Ulimit], *, may_raise: bool) -> list[dict[str, Any]]:
    """Return limits in the words of the runtime specification.

    Without CAP_SYS_RESOURCE (`may_raise`) no process can have a hard limit above this one's: the
    runtime would fail, and with docker the container does not start.  Here it gets what can be
    had, since a limit that is lower than asked for is one that the program will speak of itself
    if it needs more.  Raises InvalidSettings.
    """
    given = []
    for ulimit in ulimits:
        if ulimit.name not in NAMES:
            raise InvalidSettings(f"invalid ulimit type: {ulimit.name}")
        soft, hard = _unsigned(ulimit.soft), _unsigned(ulimit.hard)
        if not may_raise:
            ceiling = _unsigned(resource.getrlimit(_NUMBERS[ulimit.name])[1])
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        given.append({"type": f"RLIMIT_{ulimit.name.upper()}", "soft": soft, "hard": hard})
    return given


def _unsigned(limit: int) -> int:
    """Return a limit as the kernel counts; -1 is as much as there can be."""
    return limit if limit >= 0 else _UNLIMITED
