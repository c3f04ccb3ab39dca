"""Flags about files: ``-v``, ``--mount``, ``--device``."""

import csv
import os
import posixpath
import re
from typing import NamedTuple

from msgspec.structs import replace

from ferryman.build.words import quoted
from ferryman.cli.flags.limits import memory
from ferryman.runtime.settings import (
    BindOptions,
    Device,
    Mount,
    TmpfsOptions,
    VolumeOptions,
)

_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")
_SWITCHES = frozenset(("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"))


class Volume(NamedTuple):
    """A ``-v``: an anonymous volume at a path, or a bind in the form that HostConfig has."""

    bind: str = ""
    anonymous: str = ""


def volume(text: str) -> Volume:
    """Return ``[SOURCE:]TARGET[:OPTIONS]``; a source that begins with a dot is made absolute.

    The options are for whoever makes the mount to check.  Raises ValueError in docker's words.
    """
    if not text:
        raise ValueError("invalid empty volume spec")
    parts = text.split(":")
    if not all(parts) and len(text) > 2:
        raise ValueError(f"invalid spec: {text}: empty section between colons")
    if len(parts) > 3:
        raise ValueError(f"invalid spec: {text}: too many colons")
    if len(parts) == 1 or len(text) <= 2:
        return Volume(anonymous=text)
    return Volume(bind=":".join((_absolute(parts[0]), *parts[1:])))


def _absolute(source: str) -> str:
    """Return the source of a mount; one that begins with a dot is a path from here."""
    return os.path.abspath(source) if source.startswith(".") else source


def mount(text: str) -> Mount:
    """Return a ``--mount``: ``type=bind,source=…,target=…[,…]``; raises ValueError."""
    if not text.strip():
        raise ValueError("value is empty")
    found = Mount(type="volume", target="")
    for field in fields(text.strip()):
        name, equals, value = field.partition("=")
        _check_blanks(field, name, value, equals=bool(equals))
        name = name.lower()
        if not equals and name not in _SWITCHES:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        found = _with(found, name, value if equals else "true", field)
    _check(found)
    return found


def fields(text: str) -> list[str]:
    """Return the fields of a line of comma-separated values; raises ValueError."""
    try:
        return next(iter(csv.reader([text], strict=True)))
    except csv.Error as e:
        raise ValueError(f"parse error on line 1: {e}") from None


def _check_blanks(field: str, name: str, value: str, *, equals: bool) -> None:
    if name != name.strip():
        raise ValueError(
            f"invalid option '{name.strip()}' in '{field}': option should not have whitespace"
        )
    if equals and not value.strip():
        raise ValueError(f"invalid value for '{name}': value is empty")
    if value != value.strip():
        raise ValueError(
            f"invalid value for '{name}' in '{field}': value should not have whitespace"
        )


def _with(mount: Mount, name: str, value: str, field: str) -> Mount:
    """Return what one more field makes of a mount; raises ValueError."""
    if name == "type":
        return replace(mount, type=value.lower())
    if name in ("source", "src"):
        return replace(mount, source=_absolute(value))
    if name in ("target", "dst", "destination"):
        return replace(mount, target=value)
    if name in ("readonly", "ro"):
        return replace(mount, read_only=_truth(name, value))
    if name == "consistency":
        return mount  # it means something on a Mac only
    if name.startswith("bind-"):
        options = _with_bind(mount.bind_options or BindOptions(), name, value, field)
        return replace(mount, bind_options=options)
    if name.startswith("volume-"):
        return replace(
            mount,
            volume_options=_with_volume(
                mount.volume_options or VolumeOptions(), name, value, field
            ),
        )
    tmpfs = mount.tmpfs_options or TmpfsOptions()
    if name == "tmpfs-size":
        return replace(mount, tmpfs_options=replace(tmpfs, size_bytes=_size(name, value)))
    if name == "tmpfs-mode":
        return replace(mount, tmpfs_options=replace(tmpfs, mode=_mode(name, value)))
    raise ValueError(f"unexpected key '{name}' in '{field}'")


def _with_bind(options: BindOptions, name: str, value: str, field: str) -> BindOptions:
    if name == "bind-propagation":
        return replace(options, propagation=value.lower())
    if name == "bind-create-src":
        return replace(options, create_mountpoint=_truth(name, value))
    if name == "bind-nonrecursive":
        return replace(options, non_recursive=_truth(name, value))
    if name != "bind-recursive":
        raise ValueError(f"unexpected key '{name}' in '{field}'")
    if value in ("enabled", "disabled"):
        return replace(options, non_recursive=value == "disabled")
    if value in ("writable", "readonly"):
        raise ValueError(f"bind-recursive={value} is not supported by ferry")
    raise ValueError(
        f"invalid value for {name}: {value} "
        '(must be "enabled", "disabled", "writable", or "readonly")'
    )


def _with_volume(options: VolumeOptions, name: str, value: str, field: str) -> VolumeOptions:
    if name == "volume-nocopy":
        return replace(options, no_copy=_truth(name, value))
    if name == "volume-label":
        label, _, text = value.partition("=")
        return replace(options, labels={**(options.labels or {}), label: text})
    if name == "volume-driver" and value == "local":
        return options
    if name in ("volume-driver", "volume-opt", "volume-subpath"):
        raise ValueError(f"option '{name}={value}' is not supported by ferry")
    raise ValueError(f"unexpected key '{name}' in '{field}'")


def _check(mount: Mount) -> None:
    if not mount.type:
        raise ValueError("type is required")
    if not mount.target:
        raise ValueError("target is required")
    for kind, options in (
        ("bind", mount.bind_options),
        ("volume", mount.volume_options),
        ("tmpfs", mount.tmpfs_options),
    ):
        if options is not None and mount.type != kind:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{mount.type}'")


def _truth(name: str, value: str) -> bool:
    if value not in ("1", "true", "0", "false"):
        raise ValueError(
            f"invalid value for '{name}': invalid boolean value ({quoted(value)}): must be one of "
            '"true", "1", "false", or "0" (default "true")'
        )
    return value in ("1", "true")


def _size(name: str, value: str) -> int:
    try:
        return memory(value)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None


def _mode(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-7]{1,10}", value):
        raise ValueError(f"invalid value for {name}: {value}")
    return int(value, 8)


def device(text: str) -> Device:
    """Return ``HOST[:CONTAINER][:PERMISSIONS]``; raises ValueError in docker's words."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {text}")
    outside, inside, permissions = parts[0], "", "rwm"
    if len(parts) == 3:
        inside, permissions = parts[1:]
        if not _is_access(permissions):
            raise ValueError(f"bad mode specified: {permissions}")
    elif len(parts) == 2 and _is_access(parts[1]):
        permissions = parts[1]
    elif len(parts) == 2:
        inside = parts[1]
    checked = inside if len(parts) == 3 else inside or outside
    if not checked.startswith("/"):
        raise ValueError(f"{checked} is not an absolute path")
    return Device(outside, posixpath.normpath(inside or outside), permissions)


def _is_access(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and set(text) <= set("rwm")


def device_rule(text: str) -> str:
    """Return a rule like ``c 42:* rwm`` as it is; raises ValueError in docker's words."""
    if not _RULE.fullmatch(text):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text
