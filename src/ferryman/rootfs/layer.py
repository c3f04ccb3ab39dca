"""A new layer: what an overlay's upper folder holds, as the tar of an image layer (layer.md)."""

import os

from ferryman.archive import tar
from ferryman.archive.intake import Taken
from ferryman.archive.write import HashedSink
from ferryman.errors import StoreError
from ferryman.rootfs.pack import pack
from ferryman.store.lease import Lease


def layer_of(upper: str, lease: Lease) -> Taken | None:
    """Write the layer to the lease, uncompressed; what was removed is in it as whiteouts.

    None when nothing was changed.  Raises StoreError.
    """
    path = lease.path()
    try:
        root = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                sink = HashedSink(fd)
                pack(root, sink, whiteouts=True)
                os.fdatasync(fd)
            finally:
                os.close(fd)
        finally:
            os.close(root)
    except OSError as e:
        raise StoreError(f"cannot write a layer to {lease.store.root}: {e.strerror}") from None
    if sink.size == len(tar.END):
        return None
    digest = sink.digest
    return Taken(path, digest, sink.size, diff_id=digest, uncompressed_size=sink.size)
