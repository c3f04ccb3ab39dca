"""How much a container has written, and how large its files are in all."""

from ferryman.image.digest import Digest
from ferryman.runtime import record
from ferryman.runtime.record import Container
from ferryman.store import below, layers
from ferryman.store.layout import Store


def container_size(store: Store, container: Container) -> tuple[int, int]:
    """Return the bytes that a container has written, and those with its image's layers."""
    own = written(store, container)
    image = sum(
        layers.uncompressed_size(store, Digest(layer.digest), layer.size)
        for layer in container.layers
    )
    return own, own + image


def written(store: Store, container: Container) -> int:
    """Return the bytes of the files that a container has written; links count once."""
    return below.size(f"{record.folder(store, container.id)}/upper")
