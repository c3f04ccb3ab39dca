"""Rename: another name for a container."""

import msgspec

from ferryman.errors import FerryError
from ferryman.runtime import record
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
            now = record.read(store, container.id)
            record.write(store, msgspec.structs.replace(now, name=name))
