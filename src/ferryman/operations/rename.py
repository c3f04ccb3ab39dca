"""Rename: another name for a container."""

import msgspec

from ferryman.errors import FerryError
from ferryman.runtime import network, record
from ferryman.store.layout import Store


def rename(store: Store, text: str, name: str) -> None:
    """Give a container another name; raises ContainerNotFound, Conflict, StoreError."""
    name = name.removeprefix("/")
    container = record.find(store, text)
    if not name:
        raise FerryError("Neither old nor new names may be empty")
    if container.name == name:
        raise FerryError(
            "Renaming a container with the same name as its current name: nothing to do"
        )
    with record.names_locked(store):
        record.check_name(store, name)
        with record.container_locked(store, container.id):
            before = record.read(store, container.id)
            after = msgspec.structs.replace(before, name=name)
            record.write(store, after)
            network.rename(store, after, before.name)
