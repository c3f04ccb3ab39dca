"""A new layer: what an overlay's upper folder holds, as the tar of an image layer (layer.md)."""

import hashlib
import os

from ferryman.archive import tar
from ferryman.archive.intake import Taken
from ferryman.archive.write import HashedSink
from ferryman.errors import StoreError
from ferryman.image.digest import Digest
from ferryman.rootfs.pack import pack
from ferryman.store.lease import Lease

EMPTY = Digest(f"sha256:{hashlib.sha256(tar.END).hexdigest()}")
"""The diff ID of a layer with nothing in it."""


def layer_of(upper: str, lease: Lease) -> Taken | None:
    """Write the layer to the lease, uncompressed; what was removed is in it as whiteouts.

    None when nothing was changed.  Raises StoreError.
    """
    taken = written(upper, lease)
    return None if taken.digest == EMPTY else taken


def written(upper: str, lease: Lease, *, latest: int | None = None) -> Taken:
    """Do so even if nothing was changed: that is the layer `EMPTY` then.

    No file in it is newer than `latest`, in nanoseconds since 1970.  Raises StoreError.
    """
    path = lease.path()
    try:
        root = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                sink = HashedSink(fd)
                pack(root, sink, whiteouts=True, latest=latest)
                os.fdatasync(fd)
            finally:
                os.close(fd)
        finally:
            os.close(root)
    except OSError as e:
        raise StoreError(f"cannot write a layer to {lease.store.root}: {e.strerror}") from None
    digest = sink.digest
    return Taken(path, digest, sink.size, diff_id=digest, uncompressed_size=sink.size)
