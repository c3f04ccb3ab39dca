"""Image tree: the layers of images, and which images share them."""

from collections.abc import Sequence
from typing import NamedTuple

from ferryman.image.digest import Digest
from ferryman.store import layers
from ferryman.store.images import Image, all_images, find
from ferryman.store.layout import Store
from ferryman.store.lease import reading


class Branch(NamedTuple):
    """One layer of an image, and who else has it."""

    digest: Digest
    size: int
    """Its bytes in the store."""
    uncompressed: int
    created_by: str
    shared_by: tuple[str, ...]
    """The other images with this layer, by name or short ID."""


class Tree(NamedTuple):
    """An image and its layers, lowest first."""

    image: Image
    layers: tuple[Branch, ...]


def tree(store: Store, names: Sequence[str] = ()) -> list[Tree]:
    """Return the layers of the images with these names, of all by default.

    Raises ImageNotFound, StoreError.
    """
    with reading(store):
        everything = all_images(store)
        chosen = [find(store, name) for name in names] if names else everything
        users: dict[str, list[Image]] = {}
        for image in everything:
            for digest in dict.fromkeys(layer.digest for layer in image.layers):
                users.setdefault(digest, []).append(image)
        return [Tree(image, _branches(store, image, users)) for image in chosen]


def _branches(store: Store, image: Image, users: dict[str, list[Image]]) -> tuple[Branch, ...]:
    steps = [s.created_by or "" for s in image.config.history or [] if not s.empty_layer]
    steps += [""] * (len(image.layers) - len(steps))
    return tuple(
        Branch(
            digest=layer.id,
            size=layer.size,
            uncompressed=layers.uncompressed_size(store, layer.id, layer.size),
            created_by=step,
            shared_by=tuple(
                called(other)
                for other in users.get(layer.digest, ())
                if other.digest != image.digest
            ),
        )
        for layer, step in zip(image.layers, steps, strict=False)
    )


def called(image: Image) -> str:
    """Return what to call an image in a line: its first name, or its short ID."""
    return image.names[0].familiar if image.names else image.id.short
