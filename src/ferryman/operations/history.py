"""History: the steps by which an image was made, and what each one added."""

from typing import NamedTuple

from ferryman.image.digest import Digest
from ferryman.image.platform import Platform
from ferryman.store import layers
from ferryman.store.images import find
from ferryman.store.layout import Store
from ferryman.store.lease import reading


class Step(NamedTuple):
    """One step, the last one first in a history."""

    id: Digest | None
    """The image's ID for its last step; what the steps before were called is not kept."""
    created: str | None
    created_by: str
    comment: str
    size: int
    """The bytes of the step's layer when uncompressed."""


def history(store: Store, text: str, platform: Platform | None = None) -> list[Step]:
    """Return the steps of an image, the last one first; raises ImageNotFound, StoreError."""
    with reading(store):
        image = find(store, text, platform)
        sizes = [layers.uncompressed_size(store, layer.id, layer.size) for layer in image.layers]
    recorded = image.config.history or []
    steps: list[Step] = []
    for entry in recorded:
        size = 0 if entry.empty_layer or not sizes else sizes.pop(0)
        steps.append(Step(None, entry.created, entry.created_by or "", entry.comment or "", size))
    # Layers of which the history says nothing.
    steps += [Step(None, image.config.created, "", "", size) for size in sizes]
    if steps:
        steps[-1] = steps[-1]._replace(id=image.id)
    return steps[::-1]
