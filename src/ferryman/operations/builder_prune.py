"""Builder prune: what builds have kept goes, but for what images need."""

from ferryman.store import below, build_cache
from ferryman.store.collect import collect
from ferryman.store.layout import Store


def prune(store: Store) -> int:
    """Forget the steps of all builds, and empty their cache mounts; return the bytes that freed.

    Raises StoreError.
    """
    mounts = below.size(build_cache.mounts(store))
    build_cache.prune(store)
    return mounts + sum(collect(store).values())
