"""Wait: until a container has ended."""

import time

from ferryman.runtime import record
from ferryman.runtime.finish import settled
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
    state = ended(store, container)
    while condition == "removed":
        try:
            state = record.read_state(store, container.id)
        except ContainerNotFound:
            break
        time.sleep(_PAUSE)
    return state.exit_code


def ended(store: Store, container: Container, timeout: float | None = None) -> State:
    """Return the state of a container once it does not run (and is not about to start again).

    With `timeout`, in seconds, it may still run then.  A container that has been removed in the
    meantime has ended as it was last seen.  Raises StoreError.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    state = record.read_state(store, container.id)
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return state
        if state.up and state.init:
            exited(state.init, left)
        elif state.status == "restarting" or state.starter:
            time.sleep(_PAUSE)
        else:
            return state
        try:
            state = settled(store, container)
        except ContainerNotFound:
            return state
