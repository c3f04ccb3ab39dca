"""Stop, kill, pause: signals to containers, and their end."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from signal import SIGKILL

import msgspec

from ferryman.errors import Conflict, FerryError
from ferryman.operations.wait import ended
from ferryman.runtime import record, signals
from ferryman.runtime.engine import Engine, EngineError
from ferryman.runtime.finish import settled
from ferryman.runtime.record import Container, ContainerNotFound, State
from ferryman.runtime.start import start
from ferryman.store.layout import Store

STOP_SECONDS = 10
_KILL_SECONDS = 10
_TRIES = 3


def stop(store: Store, text: str, *, timeout: int | None = None, signal: str | None = None) -> None:
    """Ask a container to end, and end it if it has not after `timeout` seconds (-1: never).

    A container that does not run stays as it is.  Raises ContainerNotFound, EngineError,
    StoreError.
    """
    container = record.find(store, text)
    state = _stopping(store, container)
    if not state.up:
        return
    if timeout is None:
        timeout = container.config.stop_timeout
        timeout = STOP_SECONDS if timeout is None else timeout
    engine = engine_of(store, container, state)
    if state.status == "paused":
        _tell(engine.resume, container.id)
    wanted = signals.number(signal or container.config.stop_signal or "SIGTERM")
    _tell(lambda name: engine.kill(name, str(wanted)), container.id)
    state = ended(store, container, state, None if timeout < 0 else timeout)
    if state.up:
        # One that is removed at its end may have come to it just now.
        with suppress(ContainerNotFound):
            end(store, container)


def _stopping(store: Store, container: Container) -> State:
    """Make it known that a container is not to be started again."""
    settled(store, container)
    with record.container_locked(store, container.id):
        state = record.read_state(store, container.id)
        if state.status == "restarting":
            state = msgspec.structs.replace(state, status="exited", monitor=None)
        state = msgspec.structs.replace(state, stopping=True)
        record.write_state(store, container.id, state)
    return state


def _tell(action: Callable[[str], None], container_id: str) -> None:
    """Do something to a container that may have ended in the meantime."""
    with suppress(EngineError):
        action(container_id)


def kill(store: Store, text: str, signal: str = "KILL") -> None:
    """Send a signal to a container's first process; raises ContainerNotFound, Conflict."""
    container = record.find(store, text)
    number = signals.number(signal)
    state = settled(store, container)
    if not state.up:
        raise Conflict(f"cannot kill container: {text}: container {container.id} is not running")
    if number == SIGKILL:
        state = _stopping(store, container)
    engine = engine_of(store, container, state)
    engine.kill(container.id, str(number))
    if number == SIGKILL:
        if state.status == "paused":
            _tell(engine.resume, container.id)
        ended(store, container, state, _KILL_SECONDS)


def restart(
    store: Store, text: str, *, timeout: int | None = None, signal: str | None = None
) -> None:
    """Stop a container if it runs, and start it; raises what `stop` and `start` raise."""
    container = record.find(store, text)
    stop(store, container.id, timeout=timeout, signal=signal)
    start(store, container)


def end(store: Store, container: Container) -> None:
    """Kill a container, whatever it is doing, and wait for its end; raises FerryError."""
    for _ in range(_TRIES):
        state = _stopping(store, container)
        if state.up:
            engine = engine_of(store, container, state)
            if state.status == "paused":
                _tell(engine.resume, container.id)
            _tell(partial(engine.kill, signal="KILL", everything=True), container.id)
        if not ended(store, container, state, _KILL_SECONDS).up:
            return
    raise FerryError(f"cannot kill container: {container.name}: it has not ended")


def pause(store: Store, text: str) -> None:
    """Freeze a container's processes; raises ContainerNotFound, Conflict, EngineError."""
    _freeze(store, text, pausing=True)


def unpause(store: Store, text: str) -> None:
    """Let a container's processes go on; raises ContainerNotFound, Conflict, EngineError."""
    _freeze(store, text, pausing=False)


def _freeze(store: Store, text: str, *, pausing: bool) -> None:
    container = record.find(store, text)
    settled(store, container)
    with record.container_locked(store, container.id):
        state = record.read_state(store, container.id)
        if not state.up:
            raise Conflict(f"container {container.id} is not running")
        engine = engine_of(store, container, state)
        if pausing:
            if state.status == "paused":
                raise Conflict(f"container {container.id} is already paused")
            # It is told before it is so: what is frozen and not known to be would not be let go on.
            _keep_status(store, container, state, "paused")
            try:
                engine.pause(container.id)
            except EngineError:
                _keep_status(store, container, state, "running")
                raise
        else:
            if state.status != "paused":
                raise Conflict(f"container {container.id} is not paused")
            try:
                engine.resume(container.id)
            except EngineError:
                if engine.state(container.id).get("status") != "running":
                    raise
            _keep_status(store, container, state, "running")


def _keep_status(store: Store, container: Container, state: State, status: str) -> None:
    record.write_state(store, container.id, msgspec.structs.replace(state, status=status))


def engine_of(store: Store, container: Container, state: State) -> Engine:
    """Return the OCI runtime that a container runs under."""
    return Engine(state.runtime, f"{record.folder(store, container.id)}/oci")
