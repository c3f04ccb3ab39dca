"""Layers that steps of builds have made, by the keys of the steps.

::

    meta/build/<key>      the layer that a step made: its digest and size
    build/<name>/         what ``RUN --mount=type=cache`` keeps

The collector spares these layers until the cache is pruned.
"""

import os
from collections.abc import Iterator

from ferryman.errors import InvalidImage, StoreError
from ferryman.image.decode import decode, encode
from ferryman.image.manifest import Descriptor
from ferryman.store import blobs, durable
from ferryman.store.layout import Store
from ferryman.store.lease import Lease


def found(lease: Lease, key: str) -> Descriptor | None:
    """Return the layer of a step, plain, if it is here; the lease protects it.  Raises StoreError.

    The times of the entry say when it was used last.
    """
    path = _path(lease.store, key)
    layer = _read(path)
    if layer is None:
        return None
    lease.protect([layer.id])
    if blobs.size(lease.store, layer.id) != layer.size:
        return None
    os.utime(path)
    return layer


def keep(lease: Lease, key: str, layer: Descriptor) -> None:
    """Remember the layer of a step, which is in the store; raises StoreError."""
    path = _path(lease.store, key)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        durable.replace(path, encode(layer), aside=lease.path())
    except OSError as e:
        raise StoreError(f"cannot write to the store {lease.store.root}: {e.strerror}") from None


def layers(store: Store) -> Iterator[Descriptor]:
    """Yield all layers that the cache holds; raises StoreError."""
    for key in _keys(store):
        layer = _read(_path(store, key))
        if layer is not None:
            yield layer


def prune(store: Store) -> int:
    """Forget all steps, and what their cache mounts have kept; return how many there were.

    Their layers go with the next collection.  Raises StoreError.
    """
    keys = _keys(store)
    for key in keys:
        durable.remove(_path(store, key))
    durable.remove(mounts(store))
    return len(keys)


def mount(store: Store, name: str) -> str:
    """Return the path of the folder that a cache mount of this name keeps."""
    return f"{mounts(store)}/{name}"


def mounts(store: Store) -> str:
    """Return the path of the folder with all that cache mounts keep."""
    return f"{store.root}/build"


def _path(store: Store, key: str) -> str:
    return f"{store.meta}/build/{key}"


def _keys(store: Store) -> list[str]:
    try:
        return sorted(os.listdir(f"{store.meta}/build"))
    except FileNotFoundError:
        return []


def _read(path: str) -> Descriptor | None:
    try:
        with open(path, "rb") as f:
            return decode(f.read(), Descriptor, path)
    except FileNotFoundError:
        return None
    except InvalidImage as e:
        raise StoreError(f"the build cache is damaged: {e}: run `ferry builder prune`") from None
