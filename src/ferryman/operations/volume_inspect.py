"""Inspect: what is known of a volume, in docker's form."""

from typing import Any

from ferryman.runtime import volumes
from ferryman.store.layout import Store


def inspect(store: Store, name: str) -> dict[str, Any]:
    """Return a volume's description as JSON values; raises VolumeNotFound, StoreError."""
    volume = volumes.find(store, name)
    return {
        "CreatedAt": volume.created,
        "Driver": volumes.DRIVER,
        "Labels": volume.labels or None,
        "Mountpoint": volumes.data(store, name),
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": "local",
    }
