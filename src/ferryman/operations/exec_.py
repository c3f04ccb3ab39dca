"""Exec: one more command in a container that runs."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ferryman.errors import Conflict, StoreError
from ferryman.operations.stop import engine_of
from ferryman.runtime import attach, capabilities, record, session, spec, terminal, users
from ferryman.runtime.attach import Connection, Streams
from ferryman.runtime.finish import settled
from ferryman.runtime.record import Container, State
from ferryman.store.layout import Store


class Command(NamedTuple):
    """What is to be executed, and how; what is left empty is as it is for the container."""

    words: Sequence[str]
    env: Sequence[str] = ()
    tty: bool = False
    user: str = ""
    working_dir: str = ""
    privileged: bool = False


def execute(
    store: Store,
    text: str,
    command: Command,
    streams: Streams | None,
    *,
    detach_keys: bytes = terminal.DETACH_KEYS,
) -> int | None:
    """Execute a command in a running container, attached to `streams`; return its exit code.

    None when it goes on by itself: the user has detached, or there are no streams.  Raises
    ContainerNotFound, Conflict (the container does not run), InvalidSettings (no such user),
    EngineError (no such program), StoreError.
    """
    container = record.find(store, text)
    state = settled(store, container)
    if state.status == "paused":
        raise Conflict(f"Container {text} is paused, unpause the container before exec")
    if not state.up:
        raise Conflict(f"container {container.id} is not running")
    size = terminal.size(1, 0) if command.tty else None
    connections: list[Connection] = []

    def connect(folder: str) -> None:
        connections.append(attach.connect(folder))

    running = session.start(
        engine_of(store, container, state),
        container.id,
        f"{record.folder(store, container.id)}/bundle/exec",
        _process(store, container, state, command, size),
        stdin=streams is not None and streams.stdin is not None,
        attach=connect if streams else None,
    )
    if streams is None:
        running.answers.close()
        return None
    (connection,) = connections
    to_the_end = attach.follow(
        connection, streams, tty=command.tty, size=size, detach_keys=detach_keys
    )
    return running.exit_code() if to_the_end else None


def _process(
    store: Store,
    container: Container,
    state: State,
    command: Command,
    size: tuple[int, int] | None,
) -> dict[str, Any]:
    """Return the container's own process, changed to what is to be executed."""
    path = f"{record.folder(store, container.id)}/bundle/config.json"
    try:
        with open(path, "rb") as f:
            process = dict(json.load(f)["process"])
    except (OSError, ValueError, KeyError) as e:
        raise StoreError(f"cannot read {path}: {e}") from None
    assert state.init is not None
    config = container.config
    name = command.user or config.user
    user = users.find(f"/proc/{state.init.pid}/root", name, container.host_config.group_add)
    changed = msgspec.structs.replace(
        config, tty=command.tty, env=[*(config.env or []), *command.env]
    )
    process |= {
        "terminal": command.tty,
        "args": list(command.words),
        "cwd": command.working_dir or config.working_dir or "/",
        "env": spec.environment(msgspec.structs.replace(container, config=changed), user),
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
    }
    process.pop("consoleSize", None)
    if size:
        process["consoleSize"] = {"height": size[0], "width": size[1]}
    if command.privileged:
        every = list(capabilities.held())
        process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), every)
    return process
