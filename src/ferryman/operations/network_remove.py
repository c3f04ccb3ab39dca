"""Remove networks: one by its name, or all that nobody is in."""

from collections.abc import Sequence

from ferryman.errors import Conflict
from ferryman.image.config import seconds
from ferryman.operations.filters import pruning
from ferryman.runtime import addresses, networks, record
from ferryman.runtime.changing import changing
from ferryman.runtime.finish import settled
from ferryman.runtime.networks import PREDEFINED, Network, NetworkNotFound
from ferryman.runtime.record import ContainerNotFound
from ferryman.store.layout import Store


def remove(store: Store, text: str) -> None:
    """Remove a network in which no container is; raises NetworkNotFound, Conflict, StoreError."""
    found = networks.find(store, text)
    if found.name in PREDEFINED:
        raise Conflict(f"{found.name} is a pre-defined network and cannot be removed")
    _settle(store)
    with changing():
        found = networks.find(store, found.id)
        if _in_use(store, found):
            raise Conflict(
                f"error while removing network: network {found.name} id {found.id} has active "
                "endpoints"
            )
        networks.delete(store, found)


def prune(store: Store, filters: Sequence[str] = ()) -> list[str]:
    """Remove all networks that users have made and no container is in; return their names.

    `filters` are ``label=``, ``label!=`` and ``until=``.  Raises InvalidFlag, UsageError,
    StoreError.
    """
    chosen = pruning(filters)
    removed: list[str] = []
    for found in networks.every(store):
        if found.name in PREDEFINED or not chosen(found.labels, seconds(found.created)):
            continue
        try:
            remove(store, found.id)
        except (Conflict, NetworkNotFound):
            continue  # somebody is in it, or was quicker
        removed.append(found.name)
    return removed


def _settle(store: Store) -> None:
    """See to the end of containers that have died: they are in no network any more."""
    for container_id, _ in list(addresses.states(store)):
        try:
            settled(store, record.read(store, container_id))
        except ContainerNotFound:
            continue


def _in_use(store: Store, found: Network) -> bool:
    return bool(addresses.endpoints(store, found))
