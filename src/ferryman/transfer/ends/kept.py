"""``ferry:NAME[:TAG]``: the store."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ferryman import parallel
from ferryman.archive import intake
from ferryman.archive.intake import Taken
from ferryman.archive.stream import FileStream, Stream
from ferryman.errors import InvalidImage, StoreError
from ferryman.image import config as configs
from ferryman.image import manifest as kinds
from ferryman.image.decode import MAX_JSON
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.image.reference import Reference
from ferryman.store import blobs, layers
from ferryman.store.collect import working
from ferryman.store.images import read_document, referenced, resolve
from ferryman.store.index import all_named, update
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, hold_if_writable, reading
from ferryman.transfer.ends.contract import ANY, Content, Document, Image


class StoreSource:
    """An image of a store, kept from the collector."""

    def __init__(self, store: Store, target: Descriptor, name: str) -> None:
        """Read what a name stands for."""
        self.what = f"ferry:{name}"
        # What was pulled is at its registry still, most probably: blobs can be had from there.
        self.repository = (target.annotations or {}).get(kinds.PULLED_FROM, "")
        self._store = store
        self._target = Descriptor(target.media_type, target.digest, target.size)

    def target(self) -> Document:
        """Return the manifest or index; raises StoreError."""
        return Document(self._target, read_document(self._store, self._target))

    def document(self, wanted: Descriptor) -> bytes:
        """Return a manifest or index; raises StoreError."""
        if blobs.size(self._store, wanted.id) is None:
            raise StoreError(
                f"{self.what}: manifest {wanted.digest} is not here: only a part of the index is"
            )
        return blobs.read(self._store, wanted.id, min(wanted.size, MAX_JSON))

    @contextmanager
    def blob(self, wanted: Descriptor) -> Iterator[Stream]:
        """Give the content of a blob."""
        fd = blobs.open_blob(self._store, wanted.id)
        with open(fd, "rb"):
            yield FileStream(fd, 0, wanted.size, f"{self.what}: blob {wanted.digest}")


@contextmanager
def source(store: Store, name: str) -> Iterator[StoreSource]:
    """Open an image by its name or ID; raises ImageNotFound, InvalidReference, StoreError."""
    with hold_if_writable(store) as lease:
        with reading(store):
            image, _ = resolve(store, name)
            if lease:
                lease.protect(blob.id for blob in referenced(store, image.target))
        yield StoreSource(store, image.target, name)


class StoreDestination:
    """A name in a store."""

    manifests = ANY
    keeps = True

    def __init__(self, store: Store, lease: Lease, name: Reference, origin: str) -> None:
        """Write under a name; `origin` is the repository that the image is from, or nothing."""
        self.what = f"ferry:{name.familiar}"
        self.at_once = parallel.cores()
        self._store = store
        self._lease = lease
        self._name = name
        self._origin = origin
        self._taken: dict[Digest, Taken] = {}
        self._lock = threading.Lock()

    def has(self, blob: Descriptor) -> bool:
        """Tell whether the store has a blob, which it then keeps."""
        with self._lock:
            self._lease.protect([blob.id])
        return blobs.size(self._store, blob.id) == blob.size

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob aside, a layer with its diff ID; raises StoreError, InvalidArchive."""
        what = f"{self.what}: blob {blob.digest}"
        is_layer = kinds.compression_of(blob.media_type) is not None
        with content() as stream:
            if is_layer:
                taken = intake.take_layer(
                    *(stream, blob.size, self._lease, what),
                    algorithm=blob.id.algorithm,
                    unpack=False,
                )
            else:
                taken = intake.take(
                    stream, blob.size, self._lease, what, algorithm=blob.id.algorithm
                )
        self._taken[blob.id] = taken

    def finish(self, image: Image) -> None:
        """Give the blobs their names, then the image its own; raises StoreError, InvalidImage."""
        store, lease = self._store, self._lease
        self._check(image)
        lease.protect(image.documents)
        try:
            for digest, taken in self._taken.items():
                if taken.compression != "none" and taken.diff_id:
                    layers.record(lease, digest, taken.diff_id, taken.uncompressed_size)
                blobs.adopt(lease, taken.path, digest)
            for digest, document in image.documents.items():
                blobs.put(lease, document.content, digest.algorithm)
            blobs.sync(store)
        except OSError as e:
            raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None
        marks = {kinds.PULLED_FROM: self._origin} if self._origin else None
        target = msgspec.structs.replace(image.target, annotations=marks)
        update(store, lambda before: all_named(before, {self._name: target}))

    def _check(self, image: Image) -> None:
        """Hold the layers of images against the diff IDs of their configs."""
        for descriptor, content in image.documents.values():
            manifest = kinds.parse(content, f"manifest {descriptor.digest}")
            if not isinstance(manifest, Manifest) or not kinds.is_image(manifest):
                continue
            stored = manifest.layers or []
            if any(kinds.compression_of(layer.media_type) is None for layer in stored):
                continue  # an attestation: what it would unpack to is nobody's business
            config = configs.parse(
                self._config(manifest.config), f"config {manifest.config.digest}"
            )
            if len(config.diff_ids) != len(stored):
                raise InvalidImage(
                    f"{self.what}: invalid manifest, layers length mismatch: expected "
                    f"{len(config.diff_ids)}, got {len(stored)}"
                )
            for layer, diff_id in zip(stored, config.diff_ids, strict=True):
                if (found := self._diff_id(layer)) not in (diff_id, None):
                    raise InvalidImage(
                        f"{self.what}: invalid diffID for layer {layer.digest}: "
                        f'expected "{diff_id}", got "{found}"'
                    )

    def _config(self, config: Descriptor) -> bytes:
        taken = self._taken.get(config.id)
        if taken is None:
            return blobs.read(self._store, config.id, MAX_JSON)
        with open(taken.path, "rb") as f:
            return f.read(MAX_JSON + 1)

    def _diff_id(self, layer: Descriptor) -> Digest | None:
        """Return what a layer unpacks to; None where only its digest has been known so far."""
        if taken := self._taken.get(layer.id):
            # What no library undoes here is none of the forms that a layer may have.
            return taken.diff_id or taken.digest
        if known := layers.lookup(self._store, layer.id):
            return Digest(known.diff_id)
        plain = kinds.compression_of(layer.media_type) == "none"
        return layer.id if plain and layer.id.algorithm == "sha256" else None


@contextmanager
def destination(store: Store, name: Reference, origin: str) -> Iterator[StoreDestination]:
    """Open a place in a store, which is as before unless all ends well; raises StoreError."""
    with working(store) as lease:
        yield StoreDestination(store, lease, name, origin)
