"""Stats: what containers use, again and again."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ferryman.operations.container_listing import listed
from ferryman.runtime import record
from ferryman.runtime.finish import settled
from ferryman.runtime.record import Container, ContainerNotFound, State
from ferryman.runtime.usage import Usage, usage
from ferryman.store.layout import Store

_BETWEEN = 1.0  # seconds


class Sample(NamedTuple):
    """What a container uses at a moment; nothing, while it does not run."""

    asked: str
    """As the user named it, or the short ID."""
    container: Container
    usage: Usage
    cpu_percent: float
    """Of one processor: two that are busy all the time make 200."""


def stats(
    store: Store, names: Sequence[str] = (), *, every: bool = False
) -> Iterator[list[Sample]]:
    """Yield what containers use, once a second: those named; else all that run, or all at all.

    The first comes after a second too, since use of a processor shows over time.  Ends when all
    that were named have been removed.  Raises ContainerNotFound before the first, StoreError.
    """
    wanted = _named(store, names)
    before: dict[str, tuple[float, float]] = {}
    for container, state, _ in _present(store, wanted, every=every):
        before[container.id] = (time.monotonic(), _usage(container, state).cpu)
    while True:
        time.sleep(_BETWEEN)
        samples: list[Sample] = []
        latest: dict[str, tuple[float, float]] = {}
        for container, state, asked in _present(store, wanted, every=every):
            now, used = time.monotonic(), _usage(container, state)
            then, cpu = before.get(container.id, (now, used.cpu))
            # It may have been started again in between.
            percent = 100 * max(0.0, used.cpu - cpu) / (now - then) if now > then else 0.0
            samples.append(Sample(asked, container, used, percent))
            latest[container.id] = (now, used.cpu)
        before = latest
        yield samples
        if wanted and not samples:
            return


def _named(store: Store, names: Sequence[str]) -> dict[str, str]:
    """Return the IDs of containers and how each was named; raises ContainerNotFound."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in dict.fromkeys(names):
        try:
            found.setdefault(record.find(store, name).id, name)
        except ContainerNotFound as e:
            missing.append(str(e))
    if missing:
        raise ContainerNotFound("; ".join(missing))
    return found


def _present(
    store: Store, wanted: dict[str, str], *, every: bool
) -> Iterator[tuple[Container, State, str]]:
    if not wanted:
        for row in listed(store, every=every):
            yield row.container, row.state, row.container.short
    for container_id, name in wanted.items():
        try:
            container = record.read(store, container_id)
            yield container, settled(store, container), name
        except ContainerNotFound:
            continue  # removed in the meantime


def _usage(container: Container, state: State) -> Usage:
    if not state.up or state.init is None:
        return Usage()
    network = container.host_config.network_mode != "host"
    return usage(container.id, state.init.pid, network=network)
