"""What is kept of a container: its record, and the state that it is in.

::

    containers/<id>/container.json   the record: what was asked for
    containers/<id>/state.json       what became of it
    containers/<id>/image.json       the descriptor of its image, which the collector spares
    containers/<id>/lock             held by whoever changes the container
    containers/<id>/upper, work      what the container has written (overlay)
    containers/<id>/bundle           what the OCI runtime is given; made anew by each start
    containers/<id>/log              what it has said (the k8s-file form of conmon)

Both files are replaced as a whole, under the container's lock; whoever only reads needs none.
"""

import os
import re
import select
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeVar

import msgspec

from ferryman.errors import Conflict, FerryError, InvalidImage, StoreError
from ferryman.image.decode import decode, encode
from ferryman.image.manifest import Descriptor
from ferryman.runtime.settings import Config, HostConfig, NetworkRequest, PortBinding
from ferryman.store import durable
from ferryman.store.layout import Store
from ferryman.store.lease import Lease
from ferryman.store.lock import locked

T = TypeVar("T")

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ID = re.compile(r"[a-f0-9]{1,64}")


class ContainerNotFound(FerryError):
    """No container here answers to the name or ID that was given."""


class MountPoint(msgspec.Struct, frozen=True, rename="pascal"):
    """A mount of a container, resolved: what ``inspect`` shows under Mounts.

    `source` is a path on the host, also for a volume; empty for tmpfs.
    """

    type: str
    destination: str
    source: str = ""
    name: str = ""
    """The volume's."""
    driver: str = ""
    mode: str = ""
    rw: bool = msgspec.field(name="RW", default=True)
    propagation: str = ""
    anonymous: bool = msgspec.field(name="Anonymous", default=False)
    """True for a volume that was made for this container and goes with it (``rm -v``)."""
    copy: bool = msgspec.field(name="Copy", default=False)
    """Whether a volume that is empty begins with what the image has in this place."""


class Layer(msgspec.Struct, frozen=True):
    """A layer of the container's image: the stored blob, and its diff ID."""

    digest: str
    size: int
    diff_id: str


class Container(msgspec.Struct, frozen=True):
    """The record of a container."""

    id: str
    name: str
    created: str
    image: str
    """The image as it was named when the container was made."""
    image_id: str
    manifest: Descriptor
    layers: list[Layer]
    """Of its image, lowest first."""
    config: Config
    host_config: HostConfig
    mounts: list[MountPoint] = []
    networks: dict[str, NetworkRequest] = {}
    """The networks to be in, by name; empty for ``host``, ``none`` and ``container:``."""
    storage: str = ""
    """``erofs``, ``extract``, or empty for what serves best here."""

    @property
    def short(self) -> str:
        """The first twelve characters of the ID, as docker shows it."""
        return self.id[:12]

    @property
    def in_networks(self) -> list[str]:
        """The names of the networks that it is in when it runs; none for ``container:``."""
        mode = self.host_config.network_mode
        return list(self.networks) or ([mode] if mode in ("host", "none") else [])

    @property
    def command(self) -> list[str]:
        """Entry point and arguments."""
        return [*(self.config.entrypoint or []), *(self.config.cmd or [])]


class Endpoint(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """A container's place in a network, while it runs."""

    network_id: str = msgspec.field(name="NetworkID", default="")
    ip_address: str = msgspec.field(name="IPAddress", default="")
    ip_prefix_len: int = msgspec.field(name="IPPrefixLen", default=0)
    gateway: str = ""
    ipv6_gateway: str = msgspec.field(name="IPv6Gateway", default="")
    global_ipv6_address: str = msgspec.field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = msgspec.field(name="GlobalIPv6PrefixLen", default=0)
    mac_address: str = ""
    aliases: list[str] | None = None
    interface: str = msgspec.field(name="Interface", default="")


class Process(msgspec.Struct, frozen=True):
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    started: int
    """In clock ticks since the machine started (proc(5), stat, starttime)."""
    boot: str
    """Which start of the machine that was (random/boot_id)."""

    @property
    def alive(self) -> bool:
        """Tell whether the process still runs (a zombie does not)."""
        return process(self.pid) == self


class HealthLog(msgspec.Struct, frozen=True, rename="pascal"):
    """One health check that was made."""

    start: str
    end: str
    exit_code: int
    output: str


class Health(msgspec.Struct, frozen=True, rename="pascal"):
    """``starting``, ``healthy`` or ``unhealthy``, and why."""

    status: str
    failing_streak: int = 0
    log: list[HealthLog] = []


class State(msgspec.Struct, frozen=True):
    """What became of a container.

    `status` is created, running, paused, restarting, exited or dead.
    """

    status: str = "created"
    init: Process | None = None
    """The container's first process, while it runs."""
    monitor: Process | None = None
    """conmon, while it runs; while it is restarting, what will start it again."""
    starter: Process | None = None
    """The command that is starting it at this moment."""
    attached: Process | None = None
    """The command that started it and waits for its end, to remove it then if it is to go."""
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: str = ""
    finished_at: str = ""
    restart_count: int = 0
    stopping: bool = False
    """True when a user asked for its end, so that it is not started again."""
    runtime: str = ""
    """The path of the OCI runtime that it runs under."""
    storage: str = ""
    """``erofs`` or ``extract``: how its layers were mounted."""
    endpoints: dict[str, Endpoint] = {}
    ports: dict[str, list[PortBinding]] = {}
    """What is published, by ``80/tcp``, with the host's ports as they were given."""
    health: Health | None = None

    @property
    def up(self) -> bool:
        """Tell whether it has a process: it is running or paused."""
        return self.status in ("running", "paused")


def process(pid: int) -> Process | None:
    """Return the process of a number as it is now; None when there is none, or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            # The second field is a name in brackets, which may hold anything.
            fields = f.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[19]), boot())


def exited(*processes: Process, timeout: float | None = None) -> bool:
    """Wait until one of these has ended, at most `timeout` seconds; tell whether one has."""
    poll = select.poll()
    with ExitStack() as stack:
        for process in processes:
            try:
                fd = os.pidfd_open(process.pid)
            except ProcessLookupError:
                return True
            stack.callback(os.close, fd)
            # The number may have been given on between the two.
            if not process.alive:
                return True
            poll.register(fd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))


def boot() -> str:
    """Return what tells this start of the machine from all others."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        return f.read().strip()


def folder(store: Store, container_id: str) -> str:
    """Return the folder of a container."""
    return f"{store.containers}/{container_id}"


@contextmanager
def names_locked(store: Store) -> Iterator[None]:
    """Hold what a change of any container's name, or the making of one, needs."""
    os.makedirs(store.containers, mode=0o711, exist_ok=True)
    with locked(f"{store.meta}/containers.lock"):
        yield


@contextmanager
def container_locked(store: Store, container_id: str) -> Iterator[None]:
    """Hold the lock of a container; raises ContainerNotFound when it has just been removed."""
    path = folder(store, container_id)
    try:
        with locked(f"{path}/lock"):
            if not os.path.exists(f"{path}/container.json"):
                raise ContainerNotFound(f"No such container: {container_id[:12]}")
            yield
    except FileNotFoundError:
        raise ContainerNotFound(f"No such container: {container_id[:12]}") from None


def add(lease: Lease, container: Container, state: State, image: Descriptor | None = None) -> None:
    """Keep a new record, all of it or none; without an image the collector spares none for it.

    The caller holds the names' lock if the name must be nobody else's.  Raises OSError.
    """
    store = lease.store
    aside = lease.path()
    os.mkdir(aside, 0o711)
    for name in ("upper", "work", "merged"):
        os.mkdir(f"{aside}/{name}", 0o755)
    keep = partial(durable.replace, aside=f"{aside}/new", at_once=False)
    if image:
        keep(f"{aside}/image.json", encode(image))
    keep(f"{aside}/state.json", msgspec.json.encode(state), mode=0o600)
    keep(f"{aside}/container.json", msgspec.json.encode(container, enc_hook=str), mode=0o600)
    with open(f"{aside}/lock", "wb"):
        pass
    durable.sync_folder(aside)
    os.makedirs(store.containers, mode=0o711, exist_ok=True)
    os.rename(aside, folder(store, container.id))
    durable.sync_folder(store.containers)


def discarded(store: Store, container: Container) -> str:
    """Take a record away, from one moment to the next; return where it is, to be removed.

    Should that not be done, whoever comes next does it.  The caller holds the container's lock.
    Raises OSError.
    """
    going = f"{store.tmp}/removed-{os.urandom(8).hex()}"
    os.rename(folder(store, container.id), going)
    return going


def write(store: Store, container: Container) -> None:
    """Keep a record; the caller holds the container's lock, or the names' for a new one."""
    path = f"{folder(store, container.id)}/container.json"
    durable.replace(path, msgspec.json.encode(container, enc_hook=str), aside=f"{path}.new")


def write_state(store: Store, container_id: str, state: State) -> None:
    """Keep the state; the caller holds the container's lock."""
    path = f"{folder(store, container_id)}/state.json"
    # After a power failure the state before is as good: nothing of either runs any more.
    durable.replace(
        path, msgspec.json.encode(state), aside=f"{path}.new", mode=0o600, at_once=False
    )


def read(store: Store, container_id: str) -> Container:
    """Return a record; raises ContainerNotFound, StoreError."""
    return _read(f"{folder(store, container_id)}/container.json", Container, container_id)


def read_state(store: Store, container_id: str) -> State:
    """Return the state as it was last written; raises ContainerNotFound, StoreError.

    What has happened since to a process is for `runtime.reconcile` to find out.
    """
    return _read(f"{folder(store, container_id)}/state.json", State, container_id)


def _read(path: str, kind: type[T], container_id: str) -> T:
    try:
        with open(path, "rb") as f:
            return decode(f.read(), kind, path)
    except FileNotFoundError:
        raise ContainerNotFound(f"No such container: {container_id[:12]}") from None
    except InvalidImage as e:
        raise StoreError(f"the record of a container is damaged: {e}") from None


def every(store: Store) -> list[Container]:
    """Return all containers, the newest first; raises StoreError."""
    try:
        ids = os.listdir(store.containers)
    except FileNotFoundError:
        return []
    found: list[Container] = []
    for container_id in ids:
        try:
            found.append(read(store, container_id))
        except ContainerNotFound:
            continue  # being made, or being removed
    return sorted(found, key=lambda container: container.created, reverse=True)


def find(store: Store, text: str) -> Container:
    """Return the container with this name, ID or beginning of an ID; raises ContainerNotFound."""
    containers = every(store)
    for container in containers:
        if text.removeprefix("/") == container.name or text == container.id:
            return container
    if _ID.fullmatch(text):
        matching = [c for c in containers if c.id.startswith(text)]
        if len(matching) > 1:
            raise ContainerNotFound(f"multiple IDs found with provided prefix: {text}")
        if matching:
            return matching[0]
    raise ContainerNotFound(f"No such container: {text}")


def check_name(store: Store, name: str) -> None:
    """Raise Conflict when a name is in use, FerryError when it cannot be one.

    The caller holds the names' lock.
    """
    if not _NAME.fullmatch(name):
        raise FerryError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    for other in every(store):
        if other.name == name:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{other.id}". You have to remove (or rename) that container to be able to reuse '
                "that name."
            )
