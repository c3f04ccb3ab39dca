"""Volume prune: volumes that no container uses go."""

from collections.abc import Sequence

from ferryman.errors import Conflict
from ferryman.operations.filters import LABELS, pruning
from ferryman.runtime import volumes
from ferryman.runtime.volumes import Volume, VolumeNotFound
from ferryman.store import below
from ferryman.store.layout import Store


def prune(
    store: Store, filters: Sequence[str] = (), *, every: bool = False
) -> tuple[list[str], int]:
    """Remove the volumes that no container uses; return their names and the bytes that were freed.

    Those that somebody has named stay, unless `every` is set; those whose content lies elsewhere
    stay in any case.  `filters` are ``label=`` and ``label!=``.  Raises InvalidFlag, UsageError,
    StoreError.
    """
    chosen = pruning(filters, LABELS)
    removed: list[str] = []
    freed = 0
    for volume in unused(store):
        if volume.options or not (every or volume.anonymous) or not chosen(volume.labels, 0.0):
            continue
        size = below.size(volumes.data(store, volume.name))
        try:
            volumes.remove(store, volume.name)
        except (Conflict, VolumeNotFound):
            continue  # taken or removed in the meantime
        removed.append(volume.name)
        freed += size
    return removed, freed


def unused(store: Store) -> list[Volume]:
    """Return the volumes that no container uses; raises StoreError."""
    users = volumes.users(store)
    return [volume for volume in volumes.every(store) if volume.name not in users]
