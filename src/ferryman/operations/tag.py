"""Tag: one more name for an image."""

from ferryman.errors import UsageError
from ferryman.image import reference
from ferryman.store.images import find
from ferryman.store.index import named, update
from ferryman.store.layout import Store
from ferryman.store.lease import reading


def tag(store: Store, source: str, target: str) -> None:
    """Give an image (a name or an ID) one more name; what had that name until now loses it.

    Raises ImageNotFound, InvalidReference, UsageError, StoreError.
    """
    name = reference.parse(target).tagged()
    if name.digest:
        raise UsageError("refusing to create a tag with a digest reference")
    with reading(store):
        image = find(store, source)
        update(store, lambda before: named(before, name, image.target))
