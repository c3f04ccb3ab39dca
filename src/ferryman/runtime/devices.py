"""Devices of the host that a container is given, as nodes and as rules of its cgroup."""

import os
import re
import stat
from collections.abc import Sequence
from typing import Any

from ferryman.runtime.settings import Device, InvalidSettings

_Rule = dict[str, Any]

# The runtime makes these by itself (runtime specification, config-linux.md, "Default Devices").
_ALWAYS = tuple(
    {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
    for major, minor in ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))
)
_NOTHING: _Rule = {"allow": False, "access": "rwm"}
_EVERYTHING: _Rule = {"allow": True, "access": "rwm"}
_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")

# A container has these of its own, or the runtime makes them.
_OWN = frozenset(("pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"))


def nodes(devices: Sequence[Device]) -> tuple[list[dict[str, Any]], list[_Rule]]:
    """Return the devices to be made, and what the container may do with them.

    A folder stands for all devices in it, a symbolic link for what it leads to.  Raises
    InvalidSettings when there is no such device.
    """
    made: list[dict[str, Any]] = []
    rules: list[_Rule] = []
    for device in devices:
        found = _found(device)
        made += found
        rules += [
            {
                "allow": True,
                "type": node["type"],
                "major": node["major"],
                "minor": node["minor"],
                "access": device.cgroup_permissions,
            }
            for node in found
        ]
    return made, rules


def paths(devices: Sequence[Device]) -> list[tuple[str, str]]:
    """Return where the devices are on the host, and where they are to be in the container.

    Raises InvalidSettings as `nodes` does.
    """
    found = []
    for device in devices:
        real = os.path.realpath(device.path_on_host)
        inside = device.path_in_container
        found += [(real + node["path"][len(inside) :], node["path"]) for node in _found(device)]
    return found


def _found(device: Device) -> list[dict[str, Any]]:
    real = os.path.realpath(device.path_on_host)
    try:
        status = os.stat(real)
        node = _node(device.path_in_container, status)
        found = [node] if node else []
        if stat.S_ISDIR(status.st_mode):
            found = _below(real, device.path_in_container)
    except OSError as e:
        raise _refusal(device, (e.strerror or str(e)).lower()) from None
    if not found:
        raise _refusal(device, "not a device node")
    return found


def _refusal(device: Device, why: str) -> InvalidSettings:
    return InvalidSettings(
        "error gathering device information while adding custom device "
        f'"{device.path_on_host}": {why}'
    )


def every() -> list[dict[str, Any]]:
    """Return all devices of the host, which is what a privileged container gets."""
    return _below("/dev", "/dev", left_out=_OWN)


def _below(folder: str, into: str, left_out: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if path != folder or name not in left_out)
        inside = into + path[len(folder) :]
        for name in sorted(files):
            if path == folder and name in left_out:
                continue
            try:
                status = os.lstat(f"{path}/{name}")
            except OSError:
                continue  # it has gone since
            if node := _node(f"{inside}/{name}", status):
                found.append(node)
    return found


def _node(path: str, status: os.stat_result) -> dict[str, Any] | None:
    """Return a device as the runtime specification writes it; None for what is none."""
    if stat.S_ISBLK(status.st_mode):
        kind = "b"
    elif stat.S_ISCHR(status.st_mode):
        kind = "c"
    else:
        return None
    return {
        "path": path,
        "type": kind,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def rules(given: Sequence[_Rule], more: Sequence[str], *, privileged: bool) -> list[_Rule]:
    """Return the rules of a container's cgroup: what is always there, `given`, and users' own.

    `more` are as in ``--device-cgroup-rule``.  Raises InvalidSettings.
    """
    if privileged:
        return [_EVERYTHING]
    return [_NOTHING, *_ALWAYS, *given, *map(_rule, more)]


def _rule(text: str) -> _Rule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise InvalidSettings(f'invalid device cgroup rule format: "{text}"')
    kind, major, minor, access = match.groups()
    rule: _Rule = {"allow": True, "type": kind, "access": access}
    for name, number in (("major", major), ("minor", minor)):
        if number != "*":
            rule[name] = int(number)
    return rule
