"""What a user, an image and other containers say of mounts, made into mount points.

``-v`` and ``--mount`` by docker's rules and in docker's words.
"""

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain

import msgspec

from ferryman.errors import FerryError
from ferryman.runtime import record, tmpfs, volumes
from ferryman.runtime.record import MountPoint
from ferryman.runtime.settings import Config, HostConfig, InvalidSettings, Mount
from ferryman.store.layout import Store

_PROPAGATION = frozenset(("private", "rprivate", "slave", "rslave", "shared", "rshared"))
_MODES = {
    **dict.fromkeys(("rw", "ro"), "write"),
    **dict.fromkeys(("z", "Z"), "label"),
    **dict.fromkeys(_PROPAGATION, "propagation"),
    "nocopy": "copy",
    **dict.fromkeys(("consistent", "cached", "delegated"), "consistency"),
}
_DEFAULT_PROPAGATION = "rprivate"


@contextmanager
def resolved(store: Store, config: Config, host: HostConfig) -> Iterator[list[MountPoint]]:
    """Give the mounts of a new container, all but ``--tmpfs``; volumes that are missing are made.

    Its record is written in the block; should that fail, the anonymous volumes go again.  Of two
    mounts for one place, one of another container gives way to the user's own, and the image's to
    both; two of the user's are an error.  Raises InvalidSettings, ContainerNotFound, StoreError.
    """
    points: dict[str, MountPoint] = {}
    try:
        with volumes.held(store):
            _resolve(store, config, host, points)
            yield list(points.values())
    except BaseException:
        for point in points.values():
            if point.anonymous:
                with suppress(FerryError):  # it is another container's too
                    volumes.remove(store, point.name)
        raise


def _resolve(store: Store, config: Config, host: HostConfig, points: dict[str, MountPoint]) -> None:
    for point in _of_others(store, host):
        points[point.destination] = point
    own: set[str] = {_clean(path) for path in host.tmpfs or ()}
    for point in chain(_binds(store, host), _mounts(store, host)):
        if point.destination in own:
            raise InvalidSettings(f"Duplicate mount point: {point.destination}")
        own.add(point.destination)
        points[point.destination] = point
    for path in map(_clean, config.volumes or ()):
        if path not in points and path not in own:
            _check_target("volume", path)
            points[path] = _volume(store, MountPoint("volume", path, copy=True))


def _of_others(store: Store, host: HostConfig) -> Iterator[MountPoint]:
    for text in host.volumes_from or ():
        name, _, mode = text.partition(":")
        if not name:
            raise InvalidSettings("volumes-from specification cannot be an empty string")
        words = mode.split(",") if mode else []
        if not _valid(mode) or any(word in _PROPAGATION or word == "nocopy" for word in words):
            raise InvalidSettings(f"invalid mode: {mode}")
        for point in record.find(store, name).mounts:
            writable = point.rw and "ro" not in words
            yield msgspec.structs.replace(point, rw=writable, copy=False)


def _binds(store: Store, host: HostConfig) -> Iterator[MountPoint]:
    for text in host.binds or ():
        mode, mount = _parsed(text)
        try:
            _check(mount, exists=False)
        except InvalidSettings as e:
            raise InvalidSettings(f"invalid volume specification: '{text}': {e}") from None
        yield msgspec.structs.replace(
            _point(store, mount, copy="nocopy" not in mode.split(",")),
            # docker shares volumes among labelled containers unless it is told otherwise.
            mode=mode or ("z" if mount.type == "volume" else ""),
            propagation=_propagation(store, mount, mode) if mount.type == "bind" else "",
        )


def _parsed(text: str) -> tuple[str, Mount]:
    """Return the options and the mount of a ``-v``."""
    parts = text.split(":", 3)
    if not parts[0] or len(parts) > 3 or (len(parts) == 2 and _valid(parts[1])):
        raise InvalidSettings(f"invalid volume specification: '{text}'")
    mode = parts[2] if len(parts) == 3 else ""
    if not _valid(mode):
        raise InvalidSettings(f"invalid mode: {mode}")
    source, target = ("", parts[0]) if len(parts) == 1 else parts[:2]
    kind = "bind" if source.startswith("/") else "volume"
    return mode, Mount(kind, target, source, read_only="ro" in mode.split(","))


def _mounts(store: Store, host: HostConfig) -> Iterator[MountPoint]:
    for mount in host.mounts or ():
        _check(mount, exists=True)
        options = mount.volume_options
        point = _point(store, mount, copy=not (options and options.no_copy))
        if mount.type == "bind":
            wanted = mount.bind_options.propagation if mount.bind_options else ""
            point = msgspec.structs.replace(point, propagation=_propagation(store, mount, wanted))
        elif mount.type == "volume":
            point = msgspec.structs.replace(point, mode="z")
        yield point


def _point(store: Store, mount: Mount, *, copy: bool) -> MountPoint:
    point = MountPoint(mount.type, _clean(mount.target), rw=not mount.read_only)
    if mount.type == "bind":
        return msgspec.structs.replace(point, source=_clean(mount.source))
    if mount.type == "volume":
        labels = mount.volume_options.labels if mount.volume_options else None
        return _volume(store, msgspec.structs.replace(point, name=mount.source, copy=copy), labels)
    return point


def _volume(store: Store, point: MountPoint, labels: dict[str, str] | None = None) -> MountPoint:
    """Return the mount point of a volume, which is made if it is not there."""
    volume = volumes.create(store, point.name, labels=labels)
    return msgspec.structs.replace(
        point,
        name=volume.name,
        source=volumes.data(store, volume.name),
        driver=volumes.DRIVER,
        anonymous=not point.name,
    )


def _propagation(store: Store, mount: Mount, words: str) -> str:
    source = _clean(mount.source).rstrip("/")
    if store.root == source or store.root.startswith(f"{source}/"):
        # Containers' mounts come and go in there: this one must not keep them.
        return "rslave"
    found = [word for word in words.split(",") if word in _PROPAGATION]
    return found[0] if found else _DEFAULT_PROPAGATION


def _valid(mode: str) -> bool:
    """Tell whether these are options of ``-v``, and not two of one kind."""
    if not mode:
        return True
    kinds = [_MODES.get(word) for word in mode.split(",")]
    return None not in kinds and len(set(kinds)) == len(kinds)


def _check(mount: Mount, *, exists: bool) -> None:
    """Raise InvalidSettings for a mount that cannot be."""
    _check_target(mount.type, mount.target)
    for options, kind, name in (
        (mount.bind_options, "bind", "BindOptions"),
        (mount.volume_options, "volume", "VolumeOptions"),
        (mount.tmpfs_options, "tmpfs", "TmpfsOptions"),
    ):
        if options and mount.type != kind:
            raise _invalid(mount.type, f"field {name} must not be specified")
    if mount.type == "bind":
        _check_bind(mount, exists=exists)
    elif mount.type == "tmpfs":
        if mount.source:
            raise _invalid(mount.type, "field Source must not be specified")
        tmpfs.of_mount(mount)
    elif mount.type != "volume":
        raise _invalid(mount.type, "mount type unknown")


def _check_bind(mount: Mount, *, exists: bool) -> None:
    if not mount.source:
        raise _invalid(mount.type, "field Source must not be empty")
    options = mount.bind_options
    if options and options.propagation and options.propagation not in _PROPAGATION:
        raise _invalid(mount.type, f"invalid propagation mode: {options.propagation}")
    if not mount.source.startswith("/"):
        raise _invalid(
            mount.type, f"invalid mount path: '{mount.source}' mount path must be absolute"
        )
    made = options and options.create_mountpoint
    if exists and not made and not os.path.exists(mount.source):
        raise _invalid(mount.type, f"bind source path does not exist: {mount.source}")


def _check_target(kind: str, target: str) -> None:
    if not target:
        raise _invalid(kind, "field Target must not be empty")
    if _clean(target) == "/":
        raise _invalid(kind, "invalid specification: destination can't be '/'")
    if not target.startswith("/"):
        raise _invalid(kind, f"invalid mount path: '{target}' mount path must be absolute")


def _invalid(kind: str, what: str) -> InvalidSettings:
    return InvalidSettings(f'invalid mount config for type "{kind}": {what}')


def _clean(path: str) -> str:
    """Return a path without detours; two slashes at its beginning mean nothing here."""
    cleaned = posixpath.normpath(path)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned
