"""The end of a container: what it had is given back, its exit code is kept."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime

import msgspec

from ferryman.runtime import filesystem, network, record
from ferryman.runtime.engine import Engine
from ferryman.runtime.record import Container, Process, State, exited
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
    if state.starter is not None:
        _end_monitors(folder)
    engine = Engine(state.runtime, f"{folder}/oci") if state.runtime else None
    with engine.deleting(container.id) if engine else nullcontext():
        filesystem.unmount(store, container)
        network.disconnect(store, container, state)
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


def _end_monitors(folder: str) -> None:
    """End a monitor that nobody has heard of: the command that started it died in between."""
    bundle = os.fsencode(f"{folder}/bundle")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            if bundle in words and os.path.basename(words[0]) == b"conmon":
                os.kill(int(pid), signal.SIGKILL)
        except OSError:
            continue  # it has ended, or is somebody else's


def exit_code(folder: str, container_id: str) -> int | None:
    """Return the exit code that the monitor has written down; None when it has not (yet)."""
    try:
        with open(f"{folder}/exit/{container_id}", encoding="ascii") as f:
            text = f.read().strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def awaited_exit_code(store: Store, container: Container, init: Process) -> int | None:
    """Wait until a container's first process has ended, and its exit code is written down.

    None when that does not happen, or the container has been removed meanwhile.
    """
    exited(init)
    folder = record.folder(store, container.id)
    deadline = time.monotonic() + _PATIENCE
    while (code := exit_code(folder, container.id)) is None:
        if time.monotonic() > deadline or not os.path.isdir(folder):
            return None
        time.sleep(_PAUSE)
    return code


def settled(store: Store, container: Container) -> State:
    """Return a container's state as it really is.

    One whose process or whose monitor has died without its end being seen to (the machine was
    started anew, the monitor was killed) is brought to its end here.  Raises ContainerNotFound,
    StoreError.
    """
    state = record.read_state(store, container.id)
    deadline = time.monotonic() + _PATIENCE
    while _unfinished(state):
        orphaned = state.monitor is None or not state.monitor.alive
        if not orphaned and time.monotonic() < deadline:
            # The monitor is about to see to it.
            time.sleep(0.02)
            state = record.read_state(store, container.id)
            continue
        with record.container_locked(store, container.id):
            state = record.read_state(store, container.id)
            if _unfinished(state):
                state = finish(store, container, state)
    return state


def _unfinished(state: State) -> bool:
    """Tell whether a state cannot be true any more."""
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
