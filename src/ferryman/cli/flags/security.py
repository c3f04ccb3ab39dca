"""``--security-opt``, and the modes of namespaces: ``--pid``, ``--ipc``, ``--uts``, …"""

from collections.abc import Sequence

import msgspec

from ferryman.build.words import quoted
from ferryman.errors import InvalidFlag
from ferryman.runtime.security import BUILTIN, UNCONFINED

_MAX_PROFILE = 4 << 20
_CONTAINER = "container:"


def options(given: Sequence[str]) -> list[str]:
    """Return security options; a seccomp profile's file has become what is in it.

    Raises InvalidFlag in docker's words.
    """
    found = []
    for option in given:
        separator = "=" if "=" in option or option == "no-new-privileges" else ":"
        name, _, value = option.partition(separator)
        if not value and name != "no-new-privileges":
            raise InvalidFlag(f"invalid --security-opt: {quoted(option)}")
        if name == "seccomp" and value not in (BUILTIN, UNCONFINED):
            option = f"seccomp={_profile(value)}"
        found.append(option)
    return found


def _profile(path: str) -> str:
    try:
        with open(path, "rb") as f:
            content = f.read(_MAX_PROFILE)
    except OSError as e:
        why = (e.strerror or str(e)).lower()
        raise InvalidFlag(f"opening seccomp profile ({path}) failed: open {path}: {why}") from None
    try:
        return msgspec.json.format(content, indent=-1).decode()
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise InvalidFlag(f"compacting json for seccomp profile ({path}) failed: {e}") from None


def check_modes(*, pid: str, uts: str, userns: str, cgroupns: str) -> None:
    """Raise InvalidFlag, in docker's words, for a namespace's mode that there is not."""
    if pid not in ("", "host") and not (pid.startswith(_CONTAINER) and pid != _CONTAINER):
        raise InvalidFlag("--pid: invalid PID mode")
    if uts not in ("", "host"):
        raise InvalidFlag("--uts: invalid UTS mode")
    if userns not in ("", "host"):
        raise InvalidFlag("--userns: invalid USER mode")
    if cgroupns not in ("", "host", "private"):
        raise InvalidFlag("--cgroupns: invalid CGROUP mode")
