"""``--security-opt``: what keeps a container's processes in, or does not."""

from collections.abc import Sequence, Set
from typing import Any, NamedTuple

from ferryman.runtime.settings import InvalidSettings

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))

UNCONFINED = "unconfined"
BUILTIN = "builtin"


class Security(NamedTuple):
    """The options of a container."""

    seccomp: str = ""
    """``builtin``, ``unconfined`` or a profile's JSON; empty for what is the default."""
    apparmor: str = ""
    no_new_privileges: bool = False
    paths_unmasked: bool = False
    """Whether what docker hides of ``/proc`` and ``/sys`` is to be seen."""
    writable_cgroups: bool | None = None


def parsed(options: Sequence[str]) -> Security:
    """Return options as they are kept in HostConfig, a seccomp profile being its JSON.

    Labels are those of SELinux, which ferry leaves alone.  Raises InvalidSettings.
    """
    found = Security()
    for option in options:
        separator = "=" if "=" in option else ":"
        name, given, value = option.partition(separator)
        if name == "no-new-privileges":
            found = found._replace(no_new_privileges=_truth(option, value) if given else True)
        elif name == "writable-cgroups":
            found = found._replace(writable_cgroups=_truth(option, value) if given else True)
        elif option == "disable":
            continue
        elif not given:
            raise InvalidSettings(f'invalid --security-opt 1: "{option}"')
        elif name == "seccomp":
            found = found._replace(seccomp=value)
        elif name == "apparmor":
            found = found._replace(apparmor=value)
        elif option == "systempaths=unconfined":
            found = found._replace(paths_unmasked=True)
        elif name != "label":
            raise InvalidSettings(f'invalid --security-opt 2: "{option}"')
    return found


def _truth(option: str, text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise InvalidSettings(f'invalid --security-opt 2: "{option}"')
    return text in _TRUE


def profile(security: Security, given: Set[str], *, privileged: bool) -> dict[str, Any] | None:
    """Return the seccomp profile for a container with the capabilities `given`; None for none.

    A privileged container has only one that was asked for.  Raises InvalidSettings.
    """
    from ferryman.runtime import seccomp

    wanted = security.seccomp
    if wanted == UNCONFINED or (privileged and not wanted):
        return None
    if wanted in ("", BUILTIN):
        return seccomp.default(given)
    return seccomp.loaded(wanted, given)


def apparmor(security: Security) -> str:
    """Return the AppArmor profile that was asked for; empty where the kernel has no AppArmor.

    ferry has none of its own: it would have to load one into the kernel.
    """
    try:
        with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as f:
            enabled = f.read().strip() == "Y"
    except OSError:
        enabled = False
    return security.apparmor if enabled else ""
