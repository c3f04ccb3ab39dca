"""Attach: our streams become those of a container that runs."""

from collections.abc import Callable

from ferryman.errors import Conflict, FerryError
from ferryman.operations.stop import kill
from ferryman.runtime import attach as sockets
from ferryman.runtime import record, terminal
from ferryman.runtime.attach import Streams
from ferryman.runtime.finish import awaited_exit_code, settled
from ferryman.runtime.record import Container, State
from ferryman.store.layout import Store


def attach(
    store: Store,
    text: str,
    streams: Streams,
    *,
    detach_keys: bytes = terminal.DETACH_KEYS,
    proxy_signals: bool = True,
) -> int | None:
    """Attach to a running container, and return its exit code when it has ended.

    None when the user detached.  Signals are not passed on to a container with a terminal: keys
    are.  Raises ContainerNotFound, Conflict (it does not run), StoreError.
    """
    container, state = running(store, text)
    config = container.config
    connection = sockets.connect(f"{record.folder(store, container.id)}/bundle")
    to_the_end = sockets.follow(
        connection,
        streams if config.open_stdin else streams._replace(stdin=None),
        tty=config.tty,
        detach_keys=detach_keys,
        forward=forwarding(store, container) if proxy_signals and not config.tty else None,
        redraw=True,
    )
    return _exit_code(store, container, state) if to_the_end else None


def running(store: Store, text: str) -> tuple[Container, State]:
    """Return a container that can be attached to; raises ContainerNotFound, Conflict."""
    container = record.find(store, text)
    state = settled(store, container)
    for status, advice in (
        ("restarting", "wait until it is running"),
        ("paused", "unpause it first"),
    ):
        if state.status == status:
            raise Conflict(f"You cannot attach to a {status} container, {advice}")
    if not state.up or state.init is None:
        raise Conflict("You cannot attach to a stopped container, start it first")
    return container, state


def forwarding(store: Store, container: Container) -> Callable[[int], None]:
    """Return what passes a signal on to a container; one that has just ended gets none."""

    def forward(number: int) -> None:
        try:
            kill(store, container.id, str(number))
        except FerryError:
            return  # it has just ended

    return forward


def _exit_code(store: Store, container: Container, state: State) -> int:
    """Return the exit code as the monitor writes it down, before anybody may remove it."""
    code = awaited_exit_code(store, container, state)
    return settled(store, container).exit_code if code is None else code
