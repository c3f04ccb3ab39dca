"""Connect a container to a network, or disconnect it: at once if it runs, else when it does."""

from collections.abc import Mapping

import msgspec

from ferryman.errors import Conflict, FerryError
from ferryman.runtime import network, networks, record, resolv
from ferryman.runtime.finish import settled
from ferryman.runtime.networks import NetworkNotFound
from ferryman.runtime.record import Container, ContainerNotFound, State
from ferryman.runtime.settings import NetworkRequest
from ferryman.store.layout import Store

_HOST = "container cannot be disconnected from host network or connected to host network"
_SHARED = (
    "container sharing network namespace with another container or host cannot be connected to "
    "any other network"
)
_PRIVATE = (
    "container cannot be connected to multiple networks with one of the networks in private "
    "(none) mode"
)


class NotConnected(FerryError):
    """The container is not in the network that it was to leave."""


def connect(store: Store, text: str, name: str, request: NetworkRequest) -> None:
    """Connect a container to a network.

    Raises ContainerNotFound, NetworkNotFound, Conflict, InvalidSettings, NetworkFailed,
    MissingProgram, StoreError; the container is then where it was.
    """
    container = record.find(store, name)
    settled(store, container)
    with record.container_locked(store, container.id):
        before = record.read(store, container.id)
        state = record.read_state(store, container.id)
        found = networks.find(store, text)
        mode = before.host_config.network_mode
        if found.name == "host":
            raise Conflict(_HOST)
        if mode == "host" or mode.startswith("container:"):
            raise Conflict(_SHARED)
        networks.check_request(found, request)
        if found.name == "none" or mode == "none":
            raise Conflict(_PRIVATE)
        if state.up and found.name in state.endpoints:
            raise Conflict(
                f"endpoint with name {before.name} already exists in network {found.name}"
            )
        after = _with(before, {**before.networks, found.name: request})
        record.write(store, after)
        if state.up:
            try:
                now = network.join(store, after, state, found.name)
            except BaseException:
                record.write(store, before)
                raise
            _rewrite(store, (before, state), (after, now))


def disconnect(store: Store, text: str, name: str, *, force: bool = False) -> None:
    """Disconnect a container from a network; `force` only changes what is said of one not there.

    Raises ContainerNotFound, NetworkNotFound, NotConnected, Conflict, NetworkFailed,
    MissingProgram, StoreError.
    """
    try:
        container = record.find(store, name)
    except ContainerNotFound:
        if force:
            networks.find(store, text)
            raise NotConnected(f"endpoint {name} not found") from None
        raise
    settled(store, container)
    with record.container_locked(store, container.id):
        before = record.read(store, container.id)
        state = record.read_state(store, container.id)
        wanted = _name(store, text)
        mode = before.host_config.network_mode
        if wanted == "host" and mode == "host":
            raise Conflict(_HOST)
        if wanted == "none" and mode == "none":
            host = msgspec.structs.replace(before.host_config, network_mode="default")
            record.write(store, msgspec.structs.replace(before, host_config=host))
            return
        if wanted not in before.networks and wanted not in state.endpoints:
            if state.up:
                networks.find(store, text)
            the = "" if state.up else "the "
            raise NotConnected(f"container {before.id} is not connected to {the}network {wanted}")
        rest = {other: each for other, each in before.networks.items() if other != wanted}
        after = _with(before, rest)
        if state.up and wanted in state.endpoints:
            now = network.part(store, before, state, wanted)
            _rewrite(store, (before, state), (after, now))
        record.write(store, after)


def _name(store: Store, text: str) -> str:
    try:
        return networks.find(store, text).name
    except NetworkNotFound:
        return text  # gone; but a container may be in it still


def _with(container: Container, wanted: Mapping[str, NetworkRequest]) -> Container:
    return msgspec.structs.replace(container, networks=dict(wanted))


def _rewrite(store: Store, before: tuple[Container, State], after: tuple[Container, State]) -> None:
    bundle = f"{record.folder(store, before[0].id)}/bundle"
    old, new = before[1].endpoints, after[1].endpoints
    resolv.rewrite(store, bundle, (before[0], old), (after[0], new))
