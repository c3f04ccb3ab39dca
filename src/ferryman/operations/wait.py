"""Wait: until a container has ended."""

import time

import msgspec

from ferryman.runtime import record
from ferryman.runtime.finish import KILLED, awaited_exit_code, settled
from ferryman.runtime.record import Container, ContainerNotFound, State, exited
from ferryman.store.layout import Store

_PAUSE = 0.1  # seconds between two looks at what cannot be waited for


def wait(store: Store, text: str, condition: str = "not-running") -> int:
    """Return the exit code of a container once it has ended.

    `condition` is ``not-running`` (at once where it does not run), ``next-exit`` or ``removed``.
    Raises ContainerNotFound, StoreError.
    """
    container = record.find(store, text)
    state = settled(store, container)
    if condition == "next-exit":
        before = state.finished_at
        while not state.up and state.finished_at == before:
            time.sleep(_PAUSE)
            state = settled(store, container)
    state = ended(store, container, state)
    while condition == "removed":
        try:
            state = record.read_state(store, container.id)
        except ContainerNotFound:
            break
        time.sleep(_PAUSE)
    return state.exit_code


def ended(store: Store, container: Container, state: State, timeout: float | None = None) -> State:
    """Return the state of a container once it does not run (and is not about to start again).

    `state` is that in which it was last seen.  With `timeout`, in seconds, it may still run then.
    One that was removed in the meantime has ended too, with the exit code that was seen, if any
    was.  Raises StoreError.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return state
        if state.up and state.init and state.monitor:
            if exited(state.init, state.monitor, timeout=left):
                # With ``--rm`` it may be gone at the next look.
                code = awaited_exit_code(store, container, state)
                state = msgspec.structs.replace(state, exit_code=KILLED if code is None else code)
        elif state.status == "restarting" or state.starter:
            time.sleep(_PAUSE)
        else:
            return state
        try:
            state = settled(store, container)
        except ContainerNotFound:
            return msgspec.structs.replace(state, status="exited")
