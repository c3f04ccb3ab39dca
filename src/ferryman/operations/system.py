"""The store as a whole: what it takes, what could go."""

from typing import NamedTuple

from ferryman.image.digest import Digest
from ferryman.image.reference import Reference
from ferryman.store import collect, images
from ferryman.store.images import Image, all_images, referenced
from ferryman.store.layout import Store
from ferryman.store.lease import reading


class ImageUsage(NamedTuple):
    """What one image takes, in bytes on disk: with others, and alone."""

    image: Image
    names: tuple[Reference, ...]
    size: int
    shared: int
    unique: int
    uncompressed: int


class Usage(NamedTuple):
    """What the store takes, in bytes on disk."""

    images: tuple[ImageUsage, ...]
    active: int
    """How many of the images containers stand on."""
    total: int
    """All blobs that images need, each counted once."""
    reclaimable: int
    """What would be freed if every image went that has no name."""
    garbage: int
    """Blobs that nothing needs; the next prune removes them."""


def usage(store: Store) -> Usage:
    """Return what each image and the store as a whole take on disk; raises StoreError."""
    with reading(store):
        found = all_images(store)
        needs = [{blob.id: blob.size for blob in referenced(store, i.target)} for i in found]
        users: dict[Digest, int] = {}
        for need in needs:
            for digest in need:
                users[digest] = users.get(digest, 0) + 1
        rows = tuple(
            ImageUsage(
                image=image,
                names=image.names,
                size=sum(need.values()),
                shared=sum(size for digest, size in need.items() if users[digest] > 1),
                unique=sum(size for digest, size in need.items() if users[digest] == 1),
                uncompressed=images.size(store, image),
            )
            for image, need in zip(found, needs, strict=True)
        )
        kept = {
            digest
            for image, need in zip(found, needs, strict=True)
            if image.names
            for digest in need
        }
        total = {digest: size for need in needs for digest, size in need.items()}
        garbage = collect.garbage(store)
        used = {target.id for target in collect.pinned(store)}
    return Usage(
        rows,
        sum(image.digest in used for image in found),
        sum(total.values()),
        sum(size for digest, size in total.items() if digest not in kept),
        sum(garbage.values()),
    )
