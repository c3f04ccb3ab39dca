"""Layers as the tars that they are, by their diff IDs: what deltas are made of, and make."""

import os

from ferryman.archive import compression, intake
from ferryman.archive.stream import Bounded, FileStream
from ferryman.errors import StoreError
from ferryman.image.digest import Digest
from ferryman.store import blobs, layers
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, reading


def opened(store: Store, lease: Lease, diff_id: Digest) -> int | None:
    """Return a descriptor of the tar of a layer here; None when it is not here.

    A compressed one is written to the lease's folder.  Raises StoreError.
    """
    with reading(store):
        digest = layers.holding(store, diff_id)
        if digest is None:
            return None
        lease.protect([digest])
        fd = blobs.open_blob(store, digest)
    return fd if digest == diff_id else plain(fd, lease, diff_id)


def plain(fd: int, lease: Lease, diff_id: Digest) -> int:
    """Return a descriptor of what a file becomes without its compression; that one is closed.

    Raises StoreError when this is not the layer that it should be.
    """
    what = f"layer {diff_id}"
    try:
        form = compression.of_file(fd)
        stored = FileStream(fd, 0, os.fstat(fd).st_size, what)
        tar = Bounded(
            compression.decompressed(stored, form, what), intake.free_space(lease.store), what
        )
        taken = intake.take(tar, None, lease, what, algorithm=diff_id.algorithm)
    finally:
        os.close(fd)
    if taken.digest != diff_id:
        raise StoreError(f"{what} of the store {lease.store.root} is damaged: it unpacks to others")
    return os.open(taken.path, os.O_RDONLY | os.O_CLOEXEC)
