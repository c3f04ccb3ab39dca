"""Container prune: all that does not run goes."""

from collections.abc import Sequence

from ferryman.errors import Conflict
from ferryman.image.config import seconds
from ferryman.operations.container_listing import listed
from ferryman.operations.container_remove import remove
from ferryman.operations.container_size import written
from ferryman.operations.filters import pruning
from ferryman.runtime.record import ContainerNotFound
from ferryman.store.layout import Store


def prune(store: Store, filters: Sequence[str] = ()) -> tuple[list[str], int]:
    """Remove all containers that do not run; return their IDs and the bytes that were freed.

    `filters` are ``label=``, ``label!=`` and ``until=``.  Raises InvalidFlag, UsageError,
    StoreError.
    """
    chosen = pruning(filters)
    removed: list[str] = []
    freed = 0
    for container, state in listed(store, every=True):
        if state.up or state.status == "restarting":
            continue
        if not chosen(container.config.labels, seconds(container.created)):
            continue
        size = written(store, container)
        try:
            remove(store, container.id)
        except (Conflict, ContainerNotFound):
            continue  # started or removed in the meantime
        removed.append(container.id)
        freed += size
    return removed, freed
