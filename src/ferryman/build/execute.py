"""RUN: a command in a container of its own, whose changes become a layer.

The container is in the store while it runs, as any other: should this process die, the kernel ends
it, and whoever comes next finds what there is to be given back.
"""

import hashlib
import json
import os
import posixpath
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ferryman.archive.intake import Taken
from ferryman.build import copying, heredoc
from ferryman.build.graph import Execute
from ferryman.build.lines import DockerfileError
from ferryman.build.mounts import Mount
from ferryman.build.trees import Context, Layers, Mountable, Tree
from ferryman.errors import FerryError
from ferryman.image.manifest import Descriptor
from ferryman.rootfs import apart, layer, syscalls
from ferryman.runtime import engine as engines
from ferryman.runtime import filesystem, network, networks, record, resolv, spec, verify
from ferryman.runtime.engine import Engine
from ferryman.runtime.filesystem import Rootfs
from ferryman.runtime.finish import finish, now, settled
from ferryman.runtime.record import Container, State
from ferryman.runtime.settings import Config, HostConfig
from ferryman.store import build_cache
from ferryman.store.durable import remove
from ferryman.store.layout import Store
from ferryman.store.lease import Lease
from ferryman.store.lock import locked, try_locked

_SECRETS = "/run/secrets"
_AGENTS = "/run/buildkit"


class Means(NamedTuple):
    """What commands may use that is not in any image."""

    secrets: Mapping[str, bytes] = {}
    """By their IDs."""
    agents: Mapping[str, str] = {}
    """Sockets of ssh agents by their IDs; the usual one is ``default``."""
    hosts: Sequence[str] = ()
    """``--add-host``: names and addresses."""
    proxies: Mapping[str, str] = {}
    """Variables that commands see, and nobody else."""
    shm_size: int = 0
    """In bytes; 0 leaves it at docker's."""
    volumes: Sequence[tuple[str, str, bool]] = ()
    """Paths of the machine, where commands see them, and whether they may write there."""


class Failed(FerryError):
    """A command that did not end well."""


def execute(
    store: Store,
    lease: Lease,
    step: Execute,
    below: Layers,
    others: Sequence[Tree],
    means: Means,
    output: int,
    latest: int | None = None,
) -> Taken:
    """Run a command on top of layers; return the layer that it leaves.

    No file in that is newer than `latest`, in nanoseconds since 1970.
    `others` are where its bind mounts come from, in order; what it says is written to `output`.
    Raises Failed, DockerfileError, StoreError, and what keeps a container from starting.
    """
    with ExitStack() as stack:
        container = stack.enter_context(_recorded(store, lease, _container(store, step, means)))
        folder = record.folder(store, container.id)
        mountable = [
            each.ready(store, lease) if isinstance(each, Layers) else each for each in others
        ]
        inside = _Inside(
            store,
            container,
            Rootfs(below.ready(store, lease).lowers, folder),
            engines.chosen(f"{folder}/oci"),
            step,
            mountable,
            means,
            stack.enter_context(_caches(store, step)),
            output,
        )
        os.makedirs(inside.bundle, mode=0o700)
        os.makedirs(inside.engine.root, mode=0o700)
        with record.container_locked(store, container.id):
            held = stack.enter_context(network.held(store, container))
            namespace = stack.enter_context(network.namespace(container))
            endpoints, _ = network.connect(store, container, namespace, held)
        resolv.write(store, container, inside.bundle, endpoints)
        code = apart.apart(partial(_run, inside, namespace))
        if code:
            shown = " ".join(step.arguments)
            raise Failed(f'process "{shown}" did not complete successfully: exit code: {code}')
        return layer.written(f"{folder}/upper", lease, latest=latest)


def clear(store: Store) -> None:
    """Give back what the commands of builds that have died had; raises StoreError."""
    for container in record.every(store):
        if container.image_id:
            continue  # somebody's own
        with suppress(record.ContainerNotFound):
            if settled(store, container).starter is None:
                with record.container_locked(store, container.id):
                    going = record.discarded(store, container)
                remove(going)


class _Inside(NamedTuple):
    """What the process needs that mounts and runs everything."""

    store: Store
    container: Container
    rootfs: Rootfs
    engine: Engine
    step: Execute
    others: Sequence[Mountable | Context]
    means: Means
    caches: Mapping[str, str]
    output: int

    @property
    def bundle(self) -> str:
        return f"{self.rootfs.folder}/bundle"


def _container(store: Store, step: Execute, means: Means) -> Container:
    container_id = secrets.token_hex(32)
    host = HostConfig(
        network_mode=step.network,
        extra_hosts=list(means.hosts) or None,
        privileged=step.security == "insecure",
    )
    if means.shm_size:
        host = msgspec.structs.replace(host, shm_size=means.shm_size)
    config = Config(
        hostname="buildkitsandbox",
        user=step.user,
        env=[*step.environment, *(f"{name}={value}" for name, value in means.proxies.items())],
        entrypoint=list(step.arguments),
        working_dir=step.folder,
    )
    config, host, _ = verify.verified(config, host)
    return Container(
        id=container_id,
        name=f"build-{container_id[:12]}",
        created=now(),
        image="",
        image_id="",
        manifest=Descriptor("", "", 0),
        layers=[],
        config=config,
        host_config=host,
        networks=networks.requested(store, host, {}),
    )


@contextmanager
def _recorded(store: Store, lease: Lease, container: Container) -> Iterator[Container]:
    """Have a container in the store for the block."""
    engine = engines.chosen("")
    state = State(starter=record.process(os.getpid()), runtime=engine.path)
    record.add(lease, container, state)
    try:
        yield container
    finally:
        with record.container_locked(store, container.id):
            finish(store, container, record.read_state(store, container.id))
            remove(record.discarded(store, container))


@contextmanager
def _caches(store: Store, step: Execute) -> Iterator[dict[str, str]]:
    """Give the folders of the cache mounts by their targets, held where that is asked for."""
    folders: dict[str, str] = {}
    with ExitStack() as stack:
        for mount in step.mounts:
            if mount.type != "cache":
                continue
            name = hashlib.sha256(f"{mount.id}\0{mount.stage}".encode()).hexdigest()[:32]
            folder = build_cache.mount(store, name)
            if mount.sharing == "private":
                folder = stack.enter_context(_free(folder))
            os.makedirs(folder, exist_ok=True)
            if mount.sharing == "locked":
                stack.enter_context(locked(f"{folder}.lock"))
            folders[mount.target] = folder
        yield folders


@contextmanager
def _free(folder: str) -> Iterator[str]:
    """Give the first of a row of folders that nobody else is using."""
    number = 0
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    while True:
        with try_locked(f"{folder}-{number}.lock") as mine:
            if mine:
                yield f"{folder}-{number}"
                return
        number += 1


def _run(inside: _Inside, namespace: str | None) -> int:
    """Mount all, run the command and return its exit code; in a process of its own."""
    container, bundle = inside.container, inside.bundle
    at = filesystem.mount(inside.rootfs)
    joined = None
    if namespace is not None:
        # The command that will open it sees other processes.
        joined = f"{bundle}/network"
        with open(joined, "wb"):
            pass
        syscalls.mount(namespace, joined, flags=syscalls.MS_BIND)
    document = spec.spec(inside.store, container, at, bundle, None, joined)
    asked, variables = _mounts(inside, at)
    document["mounts"] += asked
    document["process"]["env"] += variables
    stubs = _Stubs(at, [each["destination"] for each in asked])
    with open(f"{bundle}/config.json", "w", encoding="utf-8") as f:
        json.dump(document, f)
    os.chdir("/")
    code = apart.fenced(
        inside.engine.command("run", "--bundle", bundle, container.id), output=inside.output
    )
    stubs.remove()
    return code


def _mounts(inside: _Inside, at: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the mounts that a step asks for, and the variables that go with them."""
    made: list[dict[str, Any]] = []
    variables: list[str] = []
    trees = iter(inside.others)
    for number, mount in enumerate(inside.step.mounts):
        place = f"{inside.rootfs.folder}/mounts/{number}"
        match mount.type:
            case "bind":
                made.append(_bind(_bound(next(trees), mount, place), mount))
            case "cache":
                made.append(_bind(_owned(inside.caches[mount.target], mount), mount))
            case "tmpfs":
                options = [
                    "nosuid",
                    "noexec",
                    "nodev",
                    *([f"size={mount.size}"] * bool(mount.size)),
                ]
                made.append(
                    {
                        "destination": mount.target,
                        "type": "tmpfs",
                        "source": "tmpfs",
                        "options": options,
                    }
                )
            case "secret":
                path, more = _secret(inside.means, mount, place)
                variables += more
                if path:
                    made.append(_bind(path, mount))
            case "ssh":
                agent = _agent(inside.means, mount)
                if agent:
                    target = mount.target or f"{_AGENTS}/ssh_agent.{number}"
                    made.append(_bind(agent, mount._replace(target=target)))
                    variables.append(f"SSH_AUTH_SOCK={target}")
    for source, target, writable in inside.means.volumes:
        made.append(_bind(source, Mount("bind", target=target, read_only=not writable)))
    if inside.step.script:
        place = f"{inside.rootfs.folder}/mounts/script"
        path = _written(place, inside.step.script.text.encode(), 0o755)
        made.append(
            _bind(path, Mount("bind", target=f"{heredoc.SCRIPTS}/{inside.step.script.name}"))
        )
    return made, variables


def _bind(source: str, mount: Mount) -> dict[str, Any]:
    target = mount.target or f"{_SECRETS}/{posixpath.basename(mount.source or mount.id)}"
    return {
        "destination": target,
        "type": "bind",
        "source": source,
        "options": ["rbind", "rprivate", "ro" if mount.read_only else "rw"],
    }


def _bound(tree: Mountable | Context, mount: Mount, place: str) -> str:
    """Return the path of what a bind mount shows; what is written there is thrown away."""
    if isinstance(tree, Context):
        os.makedirs(f"{place}/files")
        copying.copy_selected(tree, mount.source or "/", f"{place}/files")
        return copying.inside(f"{place}/files", mount.source or "/")
    tree.mount(f"{place}/files", "" if mount.read_only else place)
    return copying.inside(f"{place}/files", mount.source or "/")


def _owned(folder: str, mount: Mount) -> str:
    if not os.listdir(folder):
        os.chown(folder, mount.uid or 0, mount.gid or 0)
        os.chmod(folder, 0o755 if mount.mode is None else mount.mode)
    return folder


def _secret(means: Means, mount: Mount, place: str) -> tuple[str, list[str]]:
    name = mount.source or mount.id or posixpath.basename(mount.target)
    content = means.secrets.get(name)
    if content is None:
        if mount.required:
            raise DockerfileError(f"secret {name}: not found")
        return "", []
    variables = []
    if mount.env is not None:
        variables = [f"{mount.env or name}={content.decode('utf-8', 'surrogateescape')}"]
        if not mount.target:
            return "", variables
    os.makedirs(place)
    # Never on a disk: what is in memory goes with this namespace.
    syscalls.mount("tmpfs", place, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0700")
    path = _written(f"{place}/secret", content, 0o400 if mount.mode is None else mount.mode)
    os.chown(path, mount.uid or 0, mount.gid or 0)
    return path, variables


def _agent(means: Means, mount: Mount) -> str:
    name = mount.id if mount.id not in ("", "/") else "default"
    path = means.agents.get(name, "")
    if not path and mount.required:
        raise DockerfileError(f"unset ssh forward key {name}")
    return path


def _written(path: str, content: bytes, mode: int) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as f:
        f.write(content)
        os.fchmod(fd, mode)
    return path


class _Stubs:
    """Folders and files that the runtime makes to mount something on: no part of the layer."""

    def __init__(self, root: str, targets: Sequence[str]) -> None:
        """Find out what is missing; nothing runs in there yet."""
        self._root = root
        self._missing: list[str] = []
        self._times: dict[str, int] = {}
        for target in targets:
            path = ""
            for part in target.strip("/").split("/"):
                above, path = path, f"{path}/{part}"
                if os.path.islink(root + path):
                    break  # where it leads to is the runtime's to find out
                if path not in self._missing and not os.path.exists(root + path):
                    self._missing.append(path)
                    if above not in self._missing:
                        self._times[above] = os.stat(root + above).st_mtime_ns

    def remove(self) -> None:
        """Remove them, as far as they are empty still, without following what may be links now."""
        top = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for path in reversed(self._missing):
                above, _, name = path.rpartition("/")
                with suppress(OSError), _opened(top, above) as folder:
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        os.rmdir(name, dir_fd=folder)
                    elif stat.S_ISREG(status.st_mode) and not status.st_size:
                        os.unlink(name, dir_fd=folder)
            for path, time in self._times.items():
                with suppress(OSError), _opened(top, path) as folder:
                    os.utime(folder, ns=(time, time))
        finally:
            os.close(top)


@contextmanager
def _opened(top: int, path: str) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
    fd = syscalls.openat2(top, path.lstrip("/") or ".", flags, resolve=resolve)
    try:
        yield fd
    finally:
        os.close(fd)
