"""An image's layers as plain tars that can be read at any place."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ferryman.archive import compression, intake
from ferryman.archive.stream import Bounded, FileStream
from ferryman.image.manifest import Descriptor
from ferryman.image.platform import Platform
from ferryman.rootfs.members import Layer
from ferryman.store import blobs
from ferryman.store.images import Image, find
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, hold, hold_if_writable, reading


@contextmanager
def opened(
    store: Store, text: str, platform: Platform | None = None
) -> Iterator[tuple[Image, list[Layer]]]:
    """Look an image up and open its layers, lowest first, for as long as the block runs.

    A plain layer is read where it lies; a compressed one is unpacked to the store's ``tmp`` for as
    long.  Raises ImageNotFound, InvalidArchive, StoreError.
    """
    with ExitStack() as stack:
        lease = stack.enter_context(hold_if_writable(store))
        with reading(store):
            image = find(store, text, platform)
            if lease:
                lease.protect(layer.id for layer in image.layers)
        layers = [_layer(store, lease, layer, stack) for layer in image.layers]
        yield image, layers


def _layer(store: Store, lease: Lease | None, layer: Descriptor, stack: ExitStack) -> Layer:
    what = f"layer {layer.digest}"
    fd = blobs.open_blob(store, layer.id)
    stack.callback(os.close, fd)
    form = compression.of_file(fd)
    size = os.fstat(fd).st_size
    if form == "none":
        return Layer(fd, size, what)
    if lease is None:
        lease = stack.enter_context(hold(store))  # which says that the store cannot be written
    plain = Bounded(
        compression.decompressed(FileStream(fd, 0, size, what), form, what),
        intake.free_space(store),
        what,
    )
    taken = intake.take(plain, None, lease, what)
    unpacked = os.open(taken.path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, unpacked)
    os.unlink(taken.path)
    return Layer(unpacked, taken.size, what)
