"""Which containers are here: filtered and sorted as ``docker ps`` does it."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from ferryman.errors import FerryError, UsageError
from ferryman.image.config import seconds
from ferryman.operations.filters import labelled
from ferryman.operations.filters import parsed as parsed_filters
from ferryman.runtime import networks, record
from ferryman.runtime.finish import settled
from ferryman.runtime.networks import NetworkNotFound
from ferryman.runtime.record import Container, ContainerNotFound, State
from ferryman.store.images import find as find_image
from ferryman.store.layout import Store
from ferryman.store.lease import reading


class Row(NamedTuple):
    """One container, and what it is doing."""

    container: Container
    state: State

    @property
    def status(self) -> str:
        """The one word for it: created, running, paused, restarting, exited or dead."""
        return self.state.status


def listed(
    store: Store, *, every: bool = False, last: int = 0, filters: Sequence[str] = ()
) -> list[Row]:
    """Return containers, the newest first: those that run, or with `every` all.

    `last` is how many at the most, running or not (0: no limit); `filters` are ``key=value`` with
    docker's keys.  Raises InvalidFlag, UsageError, StoreError.
    """
    parsed = parsed_filters(filters, _TESTS)
    tests = [_test(store, key, values) for key, values in parsed.items()]
    # As in docker: who asks for a state means all containers that are in it.
    every = every or last > 0 or bool(parsed.keys() & {"status", "exited"})
    rows: list[Row] = []
    for container in record.every(store):
        try:
            row = Row(container, settled(store, container))
        except ContainerNotFound:
            continue  # removed in the meantime
        shown = every or row.state.up or row.status == "restarting"
        if shown and all(test(row) for test in tests):
            rows.append(row)
    return rows[:last] if last > 0 else rows


Test = Callable[[Row], bool]


def _test(store: Store, key: str, values: list[str]) -> Test:
    return _TESTS[key](store, values)


def _id(store: Store, values: list[str]) -> Test:
    return lambda row: any(row.container.id.startswith(value) for value in values)


def _name(store: Store, values: list[str]) -> Test:
    try:
        # Names have a slash in front, for those who ask for the whole of one.
        patterns = [re.compile(value) for value in values]
    except re.error as e:
        raise UsageError(f"invalid filter 'name': {e}") from None
    return lambda row: any(
        pattern.search(row.container.name) or pattern.search(f"/{row.container.name}")
        for pattern in patterns
    )


def _label(store: Store, values: list[str]) -> Test:
    return lambda row: labelled(row.container.config.labels, values)


_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")


def _status(store: Store, values: list[str]) -> Test:
    for value in values:
        if value not in _STATES:
            raise UsageError(f"invalid filter 'status={value}'")
    return lambda row: row.status in values


def _exited(store: Store, values: list[str]) -> Test:
    try:
        codes = {int(value) for value in values}
    except ValueError:
        raise UsageError(f"invalid filter 'exited={values[0]}'") from None
    return lambda row: row.status == "exited" and row.state.exit_code in codes


def _ancestor(store: Store, values: list[str]) -> Test:
    wanted: set[str] = set()
    layers: list[tuple[str, ...]] = []
    with reading(store):
        for value in values:
            try:
                image = find_image(store, value)
            except FerryError:
                continue
            wanted.add(str(image.id))
            layers.append(tuple(image.config.diff_ids))

    def test(row: Row) -> bool:
        mine = tuple(layer.diff_id for layer in row.container.layers)
        return (
            row.container.image_id in wanted
            or row.container.image in values
            or any(below and mine[: len(below)] == below for below in layers)
        )

    return test


def _when(compare: Callable[[float, float], bool]) -> Callable[[Store, list[str]], Test]:
    def made(store: Store, values: list[str]) -> Test:
        moments = [seconds(record.find(store, value).created) for value in values]
        return lambda row: all(compare(seconds(row.container.created), m) for m in moments)

    return made


def _volume(store: Store, values: list[str]) -> Test:
    return lambda row: any(
        value in (mount.name, mount.destination, mount.source)
        for mount in row.container.mounts
        for value in values
    )


def _network(store: Store, values: list[str]) -> Test:
    wanted = set(values)
    for value in values:
        with suppress(NetworkNotFound):
            wanted.add(networks.find(store, value).name)
    return lambda row: not wanted.isdisjoint(row.container.in_networks)


def _port(pick: Callable[[Row], set[str]]) -> Callable[[Store, list[str]], Test]:
    def made(store: Store, values: list[str]) -> Test:
        wanted = {value if "/" in value else f"{value}/tcp" for value in values}
        return lambda row: bool(pick(row) & wanted)

    return made


def _published(row: Row) -> set[str]:
    return {
        f"{binding.host_port}/{port.partition('/')[2]}"
        for port, bindings in row.state.ports.items()
        for binding in bindings
    } | set(row.state.ports)


def _exposed(row: Row) -> set[str]:
    return set(row.container.config.exposed_ports or {})


def _health(store: Store, values: list[str]) -> Test:
    return lambda row: (row.state.health.status if row.state.health else "none") in values


_TESTS: dict[str, Callable[[Store, list[str]], Test]] = {
    "ancestor": _ancestor,
    "before": _when(lambda mine, other: mine < other),
    "exited": _exited,
    "expose": _port(_exposed),
    "health": _health,
    "id": _id,
    "label": _label,
    "name": _name,
    "network": _network,
    "publish": _port(_published),
    "since": _when(lambda mine, other: mine > other),
    "status": _status,
    "volume": _volume,
}


def status_words(state: State, since: Callable[[str], str]) -> str:
    """Return a state in docker's words, ``Up 3 minutes (healthy)``; `since` words a moment."""
    if state.status == "created":
        return "Created"
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {since(state.finished_at)} ago"
    if state.up:
        words = f"Up {since(state.started_at)}"
        if state.status == "paused":
            return f"{words} (Paused)"
        if state.health:
            status = state.health.status
            return f"{words} ({'health: starting' if status == 'starting' else status})"
        return words
    return f"Exited ({state.exit_code}) {since(state.finished_at)} ago"
