"""The end of a container: what it had is given back, its exit code is kept."""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime

import msgspec

from ferryman.runtime import cgroups, filesystem, leftovers, network, record
from ferryman.runtime.engine import Engine
from ferryman.runtime.record import Container, State, exited
from ferryman.store.durable import remove
from ferryman.store.layout import Store

KILLED = 137
_PATIENCE = 10.0  # seconds
_PAUSE = 0.002


def finish(
    store: Store,
    container: Container,
    state: State,
    then: Callable[[State], State] = lambda ended: ended,
) -> State:
    """Take back what a container that has ended (or is to end now) had; return its state.

    `then` says what is next for one that has exited.  The caller holds the container's lock.
    Doing it twice is harmless.  Raises StoreError.
    """
    folder = record.folder(store, container.id)
    code = exit_code(folder, container.id)
    if code is None or state.starter is not None:
        leftovers.end_programs(folder)
    engine = Engine(state.runtime, f"{folder}/oci") if state.runtime else None
    with engine.deleting(container.id) if engine else nullcontext():
        filesystem.unmount(store, container)
        network.disconnect(store, container, state)
    cgroups.end(container.id)
    ended = msgspec.structs.replace(
        state,
        status="exited",
        init=None,
        starter=None,
        exit_code=KILLED if code is None else code,
        oom_killed=os.path.exists(f"{folder}/exit/oom"),
        finished_at=now(),
        endpoints={},
        ports={},
        health=None,
    )
    ended = then(ended)
    record.write_state(store, container.id, ended)
    remove(f"{folder}/oci")
    return ended


def exit_code(folder: str, container_id: str) -> int | None:
    """Return the exit code that the monitor has written down; None when it has not (yet)."""
    try:
        with open(f"{folder}/exit/{container_id}", encoding="ascii") as f:
            text = f.read().strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def awaited_exit_code(store: Store, container: Container, state: State) -> int | None:
    """Wait until a container that runs in this state has ended, and its exit code is written down.

    None when nobody will write it any more: the monitor has died, or the container is removed.
    """
    folder = record.folder(store, container.id)
    if state.init is None or state.monitor is None:
        return exit_code(folder, container.id)
    exited(state.init, state.monitor)
    while (code := exit_code(folder, container.id)) is None:
        if exited(state.monitor, timeout=_PAUSE):
            return exit_code(folder, container.id)
    return code


def settled(store: Store, container: Container) -> State:
    """Return a container's state as it really is.

    One whose process or whose monitor has died without its end being seen to (the machine was
    started anew, the monitor was killed) is brought to its end here.  Raises ContainerNotFound,
    StoreError.
    """
    state = record.read_state(store, container.id)
    deadline = time.monotonic() + _PATIENCE
    while over(state):
        orphaned = state.monitor is None or not state.monitor.alive
        if not orphaned and time.monotonic() < deadline:
            # The monitor is about to see to it.
            time.sleep(0.02)
            state = record.read_state(store, container.id)
            continue
        with record.container_locked(store, container.id):
            state = record.read_state(store, container.id)
            if over(state):
                state = finish(store, container, state)
    return state


def over(state: State) -> bool:
    """Tell whether a state cannot be true any more, because of what has ended."""
    if state.starter is not None:
        return not state.starter.alive
    if state.status == "restarting":
        return state.monitor is None or not state.monitor.alive
    if not state.up:
        return False
    return not (state.init and state.init.alive and state.monitor and state.monitor.alive)


def now() -> str:
    """Return the time as docker writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
