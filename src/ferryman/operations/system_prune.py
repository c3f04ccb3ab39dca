"""System prune: everything that nothing uses, one kind after the other."""

from collections.abc import Sequence
from typing import NamedTuple

from ferryman.errors import UsageError
from ferryman.operations import (
    builder_prune,
    container_prune,
    image_prune,
    network_remove,
    volume_prune,
)
from ferryman.operations.filters import LABELS, parsed, pruning
from ferryman.operations.remove import Removed
from ferryman.runtime import leftovers
from ferryman.store.layout import Store


class Pruned(NamedTuple):
    """What went, and the bytes that were freed on disk."""

    containers: Sequence[str]
    networks: Sequence[str]
    volumes: Sequence[str]
    images: Sequence[Removed]
    layers: Sequence[str]
    """The diff IDs of layers that were mountable and are so no more."""
    freed: int


def prune(
    store: Store,
    filters: Sequence[str] = (),
    *,
    every: bool = False,
    with_volumes: bool = False,
) -> Pruned:
    """Remove containers that do not run, and networks, images and layers that nobody uses.

    Of images those go that have no name, with `every` all that no container stands on, and the
    build cache; with `with_volumes` anonymous volumes that no container uses go too.  `filters`
    are ``label=``, ``label!=`` and ``until=``, this not for volumes; the build cache is spared with
    any.  What commands that died have left goes in any case.  Raises InvalidFlag, UsageError,
    StoreError.
    """
    check(filters, with_volumes=with_volumes)
    leftovers.give_back(store)
    containers, written = container_prune.prune(store, filters)
    networks = network_remove.prune(store, filters)
    volumes, content = volume_prune.prune(store, filters) if with_volumes else ([], 0)
    kept = builder_prune.prune(store) if every and not filters else 0
    images = image_prune.prune(store, filters, every=every)
    freed = kept + written + content + images.freed
    return Pruned(containers, networks, volumes, images.images, images.layers, freed)


def check(filters: Sequence[str], *, with_volumes: bool) -> None:
    """Raise InvalidFlag or UsageError for filters that cannot be, before anybody is asked."""
    pruning(filters)
    if with_volumes and "until" in parsed(filters, (*LABELS, "until")):
        raise UsageError('The "until" filter is not supported with "--volumes"')
