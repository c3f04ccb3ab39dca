"""Volumes: folders that outlive the containers that use them.

::

    volumes/<name>/volume.json   the record
    volumes/<name>/_data         the content

A volume is in use as long as the record of any container names it; nothing else counts that.
Whoever makes a container from the moment in which its volumes are there to that in which its
record is holds `held`; whoever removes volumes waits for that.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime

import msgspec

from ferryman.errors import Conflict, FerryError, InvalidImage, StoreError
from ferryman.image.decode import decode
from ferryman.rootfs import namespace, syscalls
from ferryman.rootfs.copy import copy_content
from ferryman.runtime import record
from ferryman.runtime.record import Container
from ferryman.runtime.settings import InvalidSettings
from ferryman.store import durable
from ferryman.store.layout import Store
from ferryman.store.lease import hold
from ferryman.store.lock import locked

DRIVER = "local"
ANONYMOUS = "com.docker.volume.anonymous"
"""The label of a volume that nobody has named."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_OPTIONS = {"type": ("device",), "device": ("type",), "o": ("device", "type")}
"""The options there are, and the others that each needs."""


class VolumeNotFound(FerryError):
    """No volume here has the name that was given."""


class Volume(msgspec.Struct, frozen=True):
    """The record of a volume."""

    name: str
    created: str
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    """``type``, ``device`` and ``o``, as of mount(8), for one whose content lies elsewhere."""

    @property
    def anonymous(self) -> bool:
        """Tell whether nobody has named it."""
        return ANONYMOUS in self.labels


def data(store: Store, name: str) -> str:
    """Return the folder of a volume's content."""
    return f"{store.volumes}/{name}/_data"


def find(store: Store, name: str) -> Volume:
    """Return a volume; raises VolumeNotFound, StoreError."""
    path = f"{store.volumes}/{name}/volume.json"
    try:
        if not _NAME.fullmatch(name):
            raise FileNotFoundError
        with open(path, "rb") as f:
            return decode(f.read(), Volume, path)
    except FileNotFoundError:
        raise VolumeNotFound(f"get {name}: no such volume") from None
    except InvalidImage as e:
        raise StoreError(f"the record of a volume is damaged: {e}") from None


def every(store: Store) -> list[Volume]:
    """Return all volumes by name; raises StoreError."""
    try:
        names = os.listdir(store.volumes)
    except FileNotFoundError:
        return []
    found: list[Volume] = []
    for name in sorted(names):
        try:
            found.append(find(store, name))
        except VolumeNotFound:
            continue  # being removed
    return found


def create(
    store: Store,
    name: str = "",
    *,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    driver: str = DRIVER,
) -> Volume:
    """Make a volume, or return the one that has this name already.

    Without a name it gets one of 64 hexadecimal digits, and is anonymous.  Raises InvalidSettings,
    StoreError.
    """
    if driver not in ("", DRIVER):
        raise InvalidSettings(
            f"create {name}: error looking up volume plugin {driver}: plugin "
            f'"{driver}" not found: volumes here are {DRIVER}'
        )
    if not name:
        name = os.urandom(32).hex()
        labels = {**(labels or {}), ANONYMOUS: ""}
    _check(name, options or {})
    try:
        return find(store, name)
    except VolumeNotFound:
        pass
    created = datetime.now().astimezone().isoformat(timespec="seconds").replace("+00:00", "Z")
    volume = Volume(name, created, dict(labels or {}), dict(options or {}))
    content = msgspec.json.encode(volume)
    try:
        os.makedirs(store.volumes, mode=0o711, exist_ok=True)
        with hold(store) as lease:
            aside = lease.path()
            os.mkdir(aside, 0o711)
            os.mkdir(f"{aside}/_data", 0o755)
            durable.replace(f"{aside}/volume.json", content, aside=f"{aside}/new")
            try:
                os.rename(aside, f"{store.volumes}/{name}")
            except OSError:
                return find(store, name)  # somebody else was quicker
        durable.sync_folder(store.volumes)
    except OSError as e:
        raise StoreError(f"cannot make the volume {name}: {e.strerror}") from None
    return volume


def _check(name: str, options: Mapping[str, str]) -> None:
    if len(name) == 1:
        raise InvalidSettings(
            f"create {name}: volume name is too short, names should be at least two alphanumeric "
            "characters"
        )
    if not _NAME.fullmatch(name):
        raise InvalidSettings(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )
    for option in options:
        if option == "size":
            raise InvalidSettings(f"create {name}: quota size requested but no quota support")
        if option not in _OPTIONS:
            raise InvalidSettings(f'create {name}: invalid option: "{option}"')
        for other in _OPTIONS[option]:
            if other not in options:
                raise InvalidSettings(f'create {name}: missing required option: "{other}"')


@contextmanager
def held(store: Store) -> Iterator[None]:
    """Keep volumes from being removed, for the block."""
    with locked(f"{store.meta}/volumes.lock", shared=True):
        yield


def users(store: Store) -> dict[str, list[str]]:
    """Return the IDs of the containers that each volume is used by; raises StoreError."""
    found: dict[str, list[str]] = {}
    for container in record.every(store):
        for point in container.mounts:
            if point.type == "volume":
                found.setdefault(point.name, []).append(container.id)
    return found


def remove(store: Store, name: str) -> None:
    """Remove a volume with its content; raises VolumeNotFound, Conflict, StoreError."""
    with locked(f"{store.meta}/volumes.lock"):
        find(store, name)
        if by := users(store).get(name):
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(by)}]")
        going = f"{store.tmp}/removed-{os.urandom(8).hex()}"
        try:
            # From one moment to the next it is gone, as with containers.
            os.rename(f"{store.volumes}/{name}", going)
            durable.sync_folder(store.volumes)
        except OSError as e:
            raise StoreError(f"cannot remove the volume {name}: {e.strerror}") from None
    durable.remove(going)


def remove_anonymous(store: Store, container: Container) -> None:
    """Remove the volumes that were made for a container alone; its record is gone already.

    Raises StoreError.
    """
    for point in container.mounts:
        if point.type == "volume" and point.anonymous:
            try:
                remove(store, point.name)
            except (Conflict, VolumeNotFound):
                continue


def fill_new(store: Store, container: Container, at: str) -> None:
    """Make ready what is to be mounted into a container whose root filesystem is at a path.

    Missing folders of the host are made for ``-v``.  At the container's first start its volumes
    that are empty get what the image has in their place.  This runs in the monitor's mount
    namespace, in which volumes that lie elsewhere are mounted.  Raises InvalidSettings,
    VolumeNotFound, StoreError.
    """
    first = not record.read_state(store, container.id).started_at
    mounts = {mount.target: mount for mount in container.host_config.mounts or ()}
    for point in container.mounts:
        if point.type == "bind":
            mount = mounts.get(point.destination)
            made = mount is None or bool(
                mount.bind_options and mount.bind_options.create_mountpoint
            )
            _bound(point.source, made=made)
        elif point.type == "volume":
            volume = find(store, point.name)
            _mounted(store, volume)
            if first and point.copy:
                fill(f"{store.volumes}/{volume.name}", at, point.destination)


def _bound(source: str, *, made: bool) -> None:
    if os.path.lexists(source):
        return
    if not made:
        raise InvalidSettings(
            'invalid mount config for type "bind": bind source path does not exist: ' + source
        )
    try:
        os.makedirs(source, mode=0o755, exist_ok=True)
    except OSError as e:
        raise StoreError(
            f"error while creating mount source path '{source}': mkdir {source}: {e.strerror}"
        ) from None


def _mounted(store: Store, volume: Volume) -> None:
    """Mount what a volume stands for, if its content lies elsewhere."""
    if not volume.options:
        return
    at = data(store, volume.name)
    if os.path.ismount(at) or _borrowed(store, volume, at):
        return
    options = volume.options
    command = ["mount", "-t", options["type"]]
    if options.get("o"):
        command += ["-o", options["o"]]
    done = subprocess.run(
        [*command, "--", options["device"], at],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split())
        for secret in re.findall(r"password=([^,]+)", options.get("o", "")):
            said = said.replace(secret, "********")
        raise StoreError(
            f"error while mounting volume '{at}': failed to mount local volume: {said}"
        )


def _borrowed(store: Store, volume: Volume, at: str) -> bool:
    """Mount what a container that runs has in a volume: what lies in memory is the same for all."""
    for container_id in users(store).get(volume.name, ()):
        with suppress(record.ContainerNotFound, OSError):
            state = record.read_state(store, container_id)
            if state.up and state.monitor and state.monitor.alive:
                namespace.borrow(state.monitor.pid, at, at)
                return True
    return False


def fill(folder: str, root: str, path: str) -> None:
    """Copy what is at a path in a root filesystem to a volume, by its folder, if that is empty.

    The root filesystem is not to be trusted.  Raises InvalidSettings, StoreError.
    """
    content, begun = f"{folder}/_data", f"{folder}/filling"
    try:
        with locked(f"{folder}/lock"):
            if os.path.exists(begun):
                # Whoever began it died in between.
                for name in os.listdir(content):
                    durable.remove(f"{content}/{name}")
            elif os.listdir(content):
                return
            with open(begun, "wb"):
                _copy(content, root, path)
            os.unlink(begun)
    except OSError as e:
        raise StoreError(f"failed to populate volume at {path}: {e.strerror}") from None


def _copy(content: str, root: str, path: str) -> None:
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY
        source = syscalls.openat2(top, path, flags, resolve=syscalls.RESOLVE_IN_ROOT)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise InvalidSettings(
            f"cannot mount volume over existing file, file exists {path}"
        ) from None
    finally:
        os.close(top)
    try:
        copy_content(f"/proc/self/fd/{source}", content)
    finally:
        os.close(source)
