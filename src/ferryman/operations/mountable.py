"""The layers that were made mountable for containers: which there are, and those nobody needs."""

from collections.abc import Collection

from ferryman.image.digest import Digest
from ferryman.rootfs import lower
from ferryman.runtime import record
from ferryman.store import below
from ferryman.store.images import all_images
from ferryman.store.layout import Store


def prune(store: Store) -> tuple[list[str], int]:
    """Remove those that no image and no container has; return diff IDs and the bytes freed.

    Raises StoreError.
    """
    sizes = {diff_id: size(store, diff_id) for diff_id in unused(store)}
    removed = lower.remove_unused(store, lambda: _needed(store))
    return removed, sum(sizes.get(diff_id, 0) for diff_id in removed)


def unused(store: Store) -> list[str]:
    """Return the diff IDs of those that no image and no container has; raises StoreError."""
    return lower.unused(store, _needed(store))


def size(store: Store, diff_id: str) -> int:
    """Return the bytes that were written to make a layer mountable."""
    return below.size(f"{store.layers}/{Digest(diff_id).encoded}")


def _needed(store: Store) -> Collection[str]:
    images = {str(diff_id) for image in all_images(store) for diff_id in image.config.diff_ids}
    return images | {layer.diff_id for each in record.every(store) for layer in each.layers}
