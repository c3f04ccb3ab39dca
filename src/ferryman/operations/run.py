"""Run: a container from its first process to its end, seen by whoever started it."""

import msgspec

from ferryman.operations.attach import attach as attach_to
from ferryman.operations.attach import forwarding
from ferryman.operations.cleanup import cleanup, restarts
from ferryman.runtime import attach, terminal
from ferryman.runtime.attach import Connection, Streams
from ferryman.runtime.finish import awaited_exit_code
from ferryman.runtime.record import Container, State
from ferryman.runtime.start import start
from ferryman.store.layout import Store


def run(
    store: Store,
    container: Container,
    streams: Streams,
    *,
    detach_keys: bytes = terminal.DETACH_KEYS,
    proxy_signals: bool = True,
) -> int | None:
    """Start a container, attached to `streams`, and return its exit code when it has ended.

    None when the user detached.  A container that is to be removed at its end is removed then.
    One that runs already is attached to.  Raises what `start` raises, and Conflict.
    """
    connections: list[Connection] = []

    def connect(bundle: str) -> None:
        connections.append(attach.connect(bundle))

    config = container.config
    size = terminal.size(streams.stdout, streams.stdin) if config.tty else None
    state = start(store, container, attach=connect, size=size)
    if not connections:
        return attach_to(
            store, container.id, streams, detach_keys=detach_keys, proxy_signals=proxy_signals
        )
    (connection,) = connections
    to_the_end = attach.follow(
        connection,
        streams,
        tty=config.tty,
        size=size,
        detach_keys=detach_keys,
        forward=forwarding(store, container) if proxy_signals else None,
    )
    return ended(store, container, state) if to_the_end else None


def ended(store: Store, container: Container, state: State) -> int:
    """Wait for the end of a container that this command has started; return its exit code.

    It is cleaned up here, so that nothing of it is left when this command ends; unless it is to
    start again, which takes somebody who stays: its monitor.
    """
    code = awaited_exit_code(store, container, state)
    if code is not None and restarts(container, msgspec.structs.replace(state, exit_code=code)):
        return code
    final = cleanup(store, container.id, waited=True)
    return final.exit_code if final else 0
