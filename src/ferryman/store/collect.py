"""Garbage collection: what no name and no lease needs is removed.

The order of reading is the whole safety of it: leases first, then the index.  An operation ends
its lease only after the index names its blobs, so whatever is missing from the leases already
read is found in the index that is read after them.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from ferryman.errors import InvalidImage, StoreError
from ferryman.image.decode import decode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.store import blobs, build_cache
from ferryman.store.durable import remove
from ferryman.store.images import referenced
from ferryman.store.index import entries
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, clear_dead, collect_lock, hold, protected
from ferryman.store.lock import locked, try_locked


@contextmanager
def working(store: Store) -> Iterator[Lease]:
    """Hold a lease for an operation that brings blobs in, all or nothing.

    What earlier processes left behind is cleared first.  When the block raises, the blobs that it
    brought go again, unless something else needs them by now.  Raises StoreError.
    """
    recover(store)
    with ExitStack() as undo:
        with hold(store) as lease:
            undo.callback(_discard, store, lease)
            yield lease
        undo.pop_all()


def _discard(store: Store, lease: Lease) -> None:
    try:
        collect(store, lease.held)
    except StoreError:
        # The error that is being handled is the one to be told; the next operation clears up.
        return


def recover(store: Store) -> None:
    """Clear what processes that have died left: unfinished files, and blobs without a name.

    When somebody else is at work on the store this very moment, it is left to them.
    """
    try:
        if not os.listdir(store.leases) and not os.listdir(store.tmp):
            return
        with try_locked(collect_lock(store)) as mine:
            if mine and (orphaned := clear_dead(store)):
                _sweep(store, orphaned)
    except OSError as e:
        raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None


def collect(store: Store, only: Collection[Digest] | None = None) -> dict[Digest, int]:
    """Remove the blobs that nothing needs and return their sizes in bytes.

    With `only`, no other blobs are looked at.  What dead processes left goes as well.  Raises
    StoreError when the store cannot be written or an image in it is damaged: a needed blob might
    then be taken for garbage.
    """
    try:
        with locked(collect_lock(store)):
            clear_dead(store)
            return _sweep(store, only)
    except OSError as e:
        raise StoreError(f"cannot clean the store {store.root}: {e.strerror}") from None


def _sweep(store: Store, only: Collection[Digest] | None) -> dict[Digest, int]:
    needed = protected(store)
    needed |= reachable(store)
    return {
        digest: _remove(store, digest)
        for digest in list(blobs.present(store))
        if digest not in needed and (only is None or digest in only)
    }


def reachable(store: Store) -> set[Digest]:
    """Return the digests of all blobs that names, containers or the build cache need.

    Raises StoreError.
    """
    targets = {entry.digest: entry.target for entry in entries(store)}
    targets |= {target.id: target for target in pinned(store)}
    needed = {blob.id for target in targets.values() for blob in referenced(store, target)}
    return needed | {layer.id for layer in build_cache.layers(store)}


def pinned(store: Store) -> Iterator[Descriptor]:
    """Yield the images that containers stand on, named or not; raises StoreError."""
    try:
        containers = os.listdir(store.containers)
    except FileNotFoundError:
        return
    for container in containers:
        path = f"{store.containers}/{container}/image.json"
        try:
            with open(path, "rb") as f:
                yield decode(f.read(), Descriptor, path)
        except FileNotFoundError:
            continue  # removed in the meantime
        except InvalidImage as e:
            raise StoreError(f"the record of a container is damaged: {e}") from None


def garbage(store: Store) -> dict[Digest, int]:
    """Return the blobs that `collect` would remove now, and their sizes in bytes."""
    needed = protected(store) | reachable(store)
    return {
        digest: os.stat(store.blob(digest)).st_size
        for digest in blobs.present(store)
        if digest not in needed
    }


def _remove(store: Store, digest: Digest) -> int:
    path = store.blob(digest)
    size = os.stat(path).st_size
    os.unlink(path)
    remove(store.layer_record(digest))
    remove(store.compressed_record(digest))
    return size
