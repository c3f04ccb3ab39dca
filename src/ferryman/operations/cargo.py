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
from ferryman.transfer.plan import Plan, Step, Wanted
from ferryman.transfer.pressed import File, Press, Pressed
from ferryman.transfer.serve import Content
from ferryman.transfer.tars import Tars

_DOCUMENTS = manifests.MANIFEST_TYPES | manifests.INDEX_TYPES


class Cargo(NamedTuple):
    """One image that is to be moved."""

    wanted: Wanted
    saved: Saved
    content: Content
    unpacked: dict[Digest, int]
    """The bytes that each layer's tar has."""
    tars: Tars
    stop: Stop | None = None
    """Where hosts are to pull it from, if not from here."""

    @property
    def name(self) -> str:
        """What it is called in what a user reads."""
        return self.wanted.names[0] if self.wanted.names else str(self.wanted.id)

    def for_engine(self, *, by_diff_ids: bool) -> Wanted:
        """Return what an engine is to have; one that knows layers by diff IDs takes no manifest."""
        return self.wanted._replace(rest=self.saved.config.size) if by_diff_ids else self.wanted

    def plain(self, planned: Plan) -> tuple[Saved, Plan]:
        """Return what goes where layers are known by their diff IDs: their tars, and by which plan.

        Raises StoreError.
        """
        missing = {step.diff_id for step in planned.missing}
        tars = {diff_id: self._tar(diff_id, diff_id in missing) for diff_id in planned.diff_ids}
        steps = tuple(Step(tars[each], each, each not in missing) for each in planned.diff_ids)
        sent = (self.saved.config, *(tars[each] for each in tars if each in missing))
        saved = self.saved._replace(blobs=sent, layers=tuple(step.layer for step in steps))
        return saved, planned._replace(steps=steps)

    def _tar(self, diff_id: Digest, missing: bool) -> Descriptor:
        # What is there is named, and no more.
        size = self.tars.size(diff_id) if missing else 0
        return Descriptor(manifests.OCI_LAYER, diff_id, size)

    def at(self, stop: Stop) -> "Cargo":
        """Return it as it is to be had at a registry."""
        ids = self.wanted.ids | {stop.digest}
        return self._replace(wanted=self.wanted._replace(ids=ids), stop=stop)


def cargo(store: Store, saved: Saved, platform: Platform | None, press: Press, tars: Tars) -> Cargo:
    """Return an image as it is to be moved; raises StoreError."""
    image = of_target(store, saved.target, saved.names, platform)
    for layer, diff_id in zip(saved.layers, image.config.diff_ids, strict=False):
        tars.add(diff_id, layer.id)
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
    return Cargo(wanted, saved, content, unpacked, tars)


def _plain(blob: Descriptor) -> bool:
    """Tell whether a blob is worth being compressed."""
    return manifests.compression_of(blob.media_type) in (None, "none")


@contextmanager
def pressing(store: Store, tars: Tars) -> Iterator[Press]:
    """Give what presses blobs, and tars of layers, once each; what it took is given back after."""
    made: dict[tuple[str, Digest, int], Pressed] = {}
    lock = threading.Lock()

    def press(codec: str, digest: Digest, size: int, start: int) -> Pressed:
        with lock:
            found = made.get((codec, digest, start))
            if found is None:
                found = made[codec, digest, start] = pressed(codec, digest, size, start)
            return found

    def pressed(codec: str, digest: Digest, size: int, start: int) -> Pressed:
        packed = tars.packed(digest)
        if packed is None:
            return Pressed(lambda: File(blobs.open_blob(store, digest)), size, codec, start)
        if packed.compression == codec and not start:
            # What it is for the line lies here already.
            return Pressed(partial(tars.blob, digest), packed.size, codec, ready=True)
        return Pressed(partial(tars.source, digest), size, codec, start)

    try:
        yield press
    finally:
        for each in made.values():
            each.close()
