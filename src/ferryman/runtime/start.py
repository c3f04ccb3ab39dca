"""The beginning of a container: mounts, network, process; all of it, or none."""

import json
import os
import sys
from collections.abc import Callable
from functools import partial

import msgspec

from ferryman.errors import FerryError
from ferryman.runtime import (
    afterwards,
    filesystem,
    health,
    log_options,
    monitor,
    network,
    record,
    resolv,
    spec,
    volumes,
)
from ferryman.runtime import engine as engines
from ferryman.runtime.engine import Engine, EngineError
from ferryman.runtime.filesystem import Rootfs
from ferryman.runtime.finish import finish, now
from ferryman.runtime.monitor import Job, Started
from ferryman.runtime.record import Container, Health, Process, State
from ferryman.store.durable import remove
from ferryman.store.layout import Store

Attach = Callable[[str], None]


def nobody(bundle: str) -> None:
    """Attach nothing to a container before it starts."""


def start(
    store: Store,
    container: Container,
    *,
    attach: Attach = nobody,
    restarts: int = 0,
    size: tuple[int, int] | None = None,
    only_if: State | None = None,
) -> State:
    """Start a container that does not run, and return its state; one that runs stays as it is.

    `attach` is called with the bundle's folder when the process is there but does not run yet;
    `size` is the terminal's, in rows and columns.  With `only_if` it is started only if that is
    its state still.  The caller does not hold the container's lock.
    Raises ContainerNotFound, EngineError, StoreError, and what the network and volumes raise; the
    container is then as it was, but for its exit code.
    """
    rootfs = filesystem.ready(store, container)
    with record.container_locked(store, container.id):
        state = record.read_state(store, container.id)
        if state.up or (only_if is not None and state != only_if):
            return state
        engine = engines.chosen(f"{rootfs.folder}/oci", container.host_config.runtime)
        state = msgspec.structs.replace(
            state,
            starter=record.process(os.getpid()),
            runtime=engine.path,
            storage=rootfs.storage,
            attached=None if attach is nobody else record.process(os.getpid()),
            stopping=False,
            error="",
            restart_count=restarts,
        )
        record.write_state(store, container.id, state)
        try:
            state = _run(store, container, state, engine, rootfs, attach, size)
        except BaseException as e:
            _undo(store, container, state, e)
            raise
        record.write_state(store, container.id, state)
    if health.has(container):
        health.watch_apart(store, container)
    return state


def _run(
    store: Store,
    container: Container,
    state: State,
    engine: Engine,
    rootfs: Rootfs,
    attach: Attach,
    size: tuple[int, int] | None,
) -> State:
    bundle = f"{rootfs.folder}/bundle"
    remove(bundle)
    remove(f"{rootfs.folder}/exit")
    remove(engine.root)
    for folder in (bundle, f"{rootfs.folder}/exit", engine.root):
        os.makedirs(folder, mode=0o700)
    resolv.write(store, container, bundle)
    job = _job(store, container, rootfs.folder, state.attached)
    with network.held(store, container) as held, network.namespace(container) as namespace:
        prepare = partial(_prepare, store, container, rootfs, bundle, size, namespace)
        beginning = monitor.begin(engine, job, prepare, held.files)
        # Each takes as long as the other, and neither needs it.
        try:
            endpoints, ports = network.connect(store, container, namespace, held)
        finally:
            created = beginning.created()
    state = msgspec.structs.replace(
        state, init=created.init, monitor=created.monitor, endpoints=endpoints, ports=ports
    )
    record.write_state(store, container.id, state)
    resolv.write(store, container, bundle, endpoints)
    attach(bundle)
    _go(engine, container, created)
    return msgspec.structs.replace(
        state,
        status="running",
        starter=None,
        started_at=now(),
        finished_at="",
        exit_code=0,
        health=Health("starting") if health.has(container) else None,
    )


def _go(engine: Engine, container: Container, created: Started) -> None:
    try:
        engine.start(container.id)
    except EngineError as e:
        # A program that ended at once may have been too quick for the runtime to see it run.
        if created.init.alive:
            raise engines.create_failed(engine.name, str(e)) from None


def _prepare(
    store: Store,
    container: Container,
    rootfs: Rootfs,
    bundle: str,
    size: tuple[int, int] | None,
    namespace: str | None,
) -> None:
    """Make the mounts and write the bundle; this runs in the monitor's mount namespace."""
    at = filesystem.mount(rootfs)
    volumes.fill_new(store, container, at)
    document = spec.spec(store, container, at, bundle, size, namespace)
    with open(f"{bundle}/config.json", "w", encoding="utf-8") as f:
        json.dump(document, f)


def _job(store: Store, container: Container, folder: str, attached: Process | None) -> Job:
    config = container.config
    at_end = [
        *(sys.executable, "-m", "ferryman", "--root", store.root),
        *("container", "cleanup", container.id),
    ]
    if attached and container.host_config.auto_remove:
        # On its own it needs nothing but what Python always has, and starts the sooner.
        alone = (sys.executable, "-I", "-S", afterwards.__file__)
        at_end = [*alone, str(attached.pid), folder, *at_end]
    logging = container.host_config.log_config
    return Job(
        container_id=container.id,
        name=container.name,
        bundle=f"{folder}/bundle",
        log=None if logging.type == log_options.NONE else f"{folder}/log",
        log_limit=log_options.limit(logging),
        exits=f"{folder}/exit",
        terminal=config.tty,
        stdin=config.open_stdin,
        keep_stdin=config.open_stdin and (config.tty or not config.stdin_once),
        at_end=at_end,
    )


def _undo(store: Store, container: Container, before: State, error: BaseException) -> None:
    """Take back what was begun; the container is as before, and says why it did not start."""
    state = record.read_state(store, container.id)
    ended = finish(store, container, state)
    code = error.exit_code if isinstance(error, FerryError) else 128
    status = "created" if before.status == "created" else "exited"
    record.write_state(
        store,
        container.id,
        msgspec.structs.replace(
            ended,
            status=status,
            exit_code=code,
            error=str(error) if isinstance(error, FerryError) else "interrupted",
            finished_at=ended.finished_at if status == "exited" else "",
        ),
    )
