"""Images as they are moved: what hosts are asked for, and how the bytes are had, for all hosts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ferryman.archive.write import Saved
from ferryman.image import manifest as manifests
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.image.platform import Platform
from ferryman.operations.through import Stop
from ferryman.store import blobs, layers
from ferryman.store.images import of_target, read_document, walk
from ferryman.store.layout import Store
from ferryman.transfer.depot import Press
from ferryman.transfer.plan import Wanted
from ferryman.transfer.pressed import Pressed
from ferryman.transfer.serve import Content

_DOCUMENTS = manifests.MANIFEST_TYPES | manifests.INDEX_TYPES


class Cargo(NamedTuple):
    """One image that is to be moved."""

    wanted: Wanted
    saved: Saved
    content: Content
    unpacked: dict[Digest, int]
    """The bytes that each layer's tar has."""
    stop: Stop | None = None
    """Where hosts are to pull it from, if not from here."""

    @property
    def name(self) -> str:
        """What it is called in what a user reads."""
        return self.wanted.names[0] if self.wanted.names else str(self.wanted.id)

    def at(self, stop: Stop) -> "Cargo":
        """Return it as it is to be had at a registry."""
        ids = self.wanted.ids | {stop.digest}
        return self._replace(wanted=self.wanted._replace(ids=ids), stop=stop)


def cargo(store: Store, saved: Saved, platform: Platform | None, press: Press) -> Cargo:
    """Return an image as it is to be moved; raises StoreError."""
    image = of_target(store, saved.target, saved.names, platform)
    layer_ids = {layer.id for layer in saved.layers}
    documents = {blob.id for blob in saved.blobs if blob.media_type in _DOCUMENTS}
    wanted = Wanted(
        image.id,
        tuple(name.canonical for name in saved.names if name.tag),
        tuple(saved.layers),
        tuple(image.config.diff_ids),
        sum(blob.size for blob in saved.blobs if blob.id not in layer_ids),
        frozenset(documents | {saved.config.id}),
    )
    content = Content(
        saved.target,
        {
            descriptor.id: (descriptor.media_type, read_document(store, descriptor))
            for descriptor, _ in walk(store, saved.target)
        },
        {blob.id: blob.size for blob in saved.blobs if blob.id not in documents},
        partial(blobs.open_blob, store),
        lambda digest, size: press("gzip", digest, size, 0),
        frozenset(blob.id for blob in saved.blobs if _plain(blob)),
    )
    unpacked = {
        layer.id: layers.uncompressed_size(store, layer.id, layer.size) for layer in saved.layers
    }
    return Cargo(wanted, saved, content, unpacked)


def _plain(blob: Descriptor) -> bool:
    """Tell whether a blob is worth being compressed."""
    return manifests.compression_of(blob.media_type) in (None, "none")


@contextmanager
def pressing(store: Store) -> Iterator[Press]:
    """Give what presses blobs, once each; all that it took is given back after the block."""
    made: dict[tuple[str, Digest, int], Pressed] = {}
    lock = threading.Lock()

    def press(codec: str, digest: Digest, size: int, start: int) -> Pressed:
        with lock:
            found = made.get((codec, digest, start))
            if found is None:
                opens = partial(blobs.open_blob, store, digest)
                found = made[codec, digest, start] = Pressed(opens, size, codec, start)
            return found

    try:
        yield press
    finally:
        for each in made.values():
            each.close()


def open_plain(store: Store, digest: Digest) -> int | None:
    """Open the tar of a layer, where the store has it as it is; None where it has not."""
    if blobs.size(store, digest) is None:
        return None
    return blobs.open_blob(store, digest)
