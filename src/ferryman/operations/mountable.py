"""The layers that were made mountable for containers: which there are, and those nobody needs."""

import os
from collections.abc import Collection

from ferryman.errors import StoreError
from ferryman.image.digest import Digest
from ferryman.rootfs import erofs_head, lower
from ferryman.runtime import record
from ferryman.store import below, durable
from ferryman.store.images import all_images
from ferryman.store.layout import Store
from ferryman.store.lease import reading


def prune(store: Store) -> tuple[list[str], int]:
    """Remove those that no image and no container has; return diff IDs and the bytes freed.

    Raises StoreError.
    """
    sizes = {diff_id: size(store, diff_id) for diff_id in unused(store)}
    removed = lower.remove_unused(store, lambda: _needed(store))
    return removed, sum(sizes.get(diff_id, 0) for diff_id in removed)


def unused(store: Store) -> list[str]:
    """Return the diff IDs of those that no image and no container has; raises StoreError."""
    with reading(store):
        needed = _needed(store)
    return lower.unused(store, needed)


def damaged(store: Store) -> list[str]:
    """Return the paths of what was made of layers and is not any more as it was made.

    What is unpacked has no digest, and is not looked at.  Raises StoreError.
    """
    found = []
    for name in sorted(os.listdir(store.layers)) if os.path.isdir(store.layers) else ():
        index, tar = (f"{store.layers}/{name}/{file}" for file in ("index.erofs", "layer.tar"))
        try:
            if os.path.exists(index) and not erofs_head.is_whole(index):
                found.append(index)
            if os.path.exists(tar) and _hash(tar, name) != name:
                found.append(tar)
        except FileNotFoundError:
            continue  # removed in the meantime
        except OSError as e:
            raise StoreError(
                f"cannot read layers of the store {store.root}: {e.strerror}"
            ) from None
    return found


def discard(paths: Collection[str]) -> None:
    """Remove what is damaged: a container that needs it has it made anew when it starts."""
    for path in paths:
        durable.remove(path)


def size(store: Store, diff_id: str) -> int:
    """Return the bytes that were written to make a layer mountable."""
    return below.size(f"{store.layers}/{Digest(diff_id).encoded}")


def _hash(path: str, name: str) -> str:
    """Return the hash of a file, by the algorithm of a diff ID that looks like this."""
    import hashlib

    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256" if len(name) == 64 else "sha512").hexdigest()


def _needed(store: Store) -> Collection[str]:
    images = {str(diff_id) for image in all_images(store) for diff_id in image.config.diff_ids}
    return images | {layer.diff_id for each in record.every(store) for layer in each.layers}
