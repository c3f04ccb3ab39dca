"""Binary deltas: layers that are missing at a place, as differences against those that are there.

Which layers resemble which is told by the names of their files (`transfer.delta.sketch`).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from ferryman.archive import read
from ferryman.archive.bases import Base
from ferryman.archive.candidate import Layer
from ferryman.archive.deltas import Delta, Prepared, descriptor
from ferryman.archive.intake import Taken, check_room, nothing
from ferryman.archive.oci import part_name
from ferryman.archive.source import Source
from ferryman.archive.write import HashedSink, Saved
from ferryman.errors import InvalidArchive, StoreError
from ferryman.image.digest import Digest
from ferryman.operations import tars
from ferryman.operations.bases import archived, images_of
from ferryman.operations.input import opened
from ferryman.operations.progress import Progress, counter, silent
from ferryman.store.durable import write_all
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, hold
from ferryman.transfer.delta import apply, encode, sketch
from ferryman.transfer.delta.undo import Region
from ferryman.transfer.inventory import Held, Inventory

# Images of a site that are looked at for layers like those that are missing.
_NEIGHBOURS = 4
# A delta that saves less than a tenth is not worth that it needs its base.
_WORTH = 0.9


@contextmanager
def prepared(
    store: Store,
    images: Sequence[Saved],
    sites: Sequence[Inventory],
    texts: Sequence[str] = (),
    *,
    progress: Progress = silent,
) -> Iterator[list[Saved]]:
    """Give the images with deltas in the place of the layers for which there are good ones.

    `images` are as `bases.without` left them; a layer of the sites can be a base when it is in the
    store or in an archive that `texts` names.  A layer that the store has compressed goes as it
    is: what compressed it does not do so again byte for byte.  What is prepared is gone when the
    block ends.  Raises StoreError, InvalidArchive.
    """
    with hold(store) as lease, _Tars(store, lease) as here:
        for text in texts:
            if path := archived(store, text):
                here.add_archive(path)
        done: dict[Digest, tuple[Prepared, Base] | None] = {}
        result = []
        for image in images:
            to_be_sent = {blob.id for blob in image.blobs}
            neighbours = _neighbours(store, image, sites)
            for manifest, diff_ids in images_of(store, image.target):
                for layer, diff_id in zip(manifest.layers or [], diff_ids, strict=False):
                    if layer.id == diff_id and diff_id in to_be_sent and diff_id not in done:
                        done[diff_id] = _delta(here, diff_id, neighbours, progress)
            made = [each for blob in image.blobs if (each := done.get(blob.id))]
            kept = tuple(blob for blob in image.blobs if not done.get(blob.id))
            base = image.base or (made[0][1] if made else None)
            result.append(image._replace(blobs=kept, deltas=tuple(d for d, _ in made), base=base))
        yield result


def _neighbours(store: Store, image: Saved, sites: Sequence[Inventory]) -> list[Held]:
    """Return the images of a site that are most likely to have layers like one's own."""
    own = {diff_id for _, diff_ids in images_of(store, image.target) for diff_id in diff_ids}
    repositories = {name.familiar_name for name in image.names}

    def likeness(held: Held) -> tuple[bool, int]:
        named = any(name.rpartition(":")[0] in repositories for name in held.names)
        return named, len(own & set(held.diff_ids))

    everything = [held for site in sites for held in site.images]
    return sorted(everything, key=likeness, reverse=True)[:_NEIGHBOURS]


class _Tars:
    """The tars of layers, each opened once."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.lease = lease
        self._store = store
        self._archives: dict[Digest, tuple[Source, Layer]] = {}
        self._fds: dict[Digest, int | None] = {}
        self._sketches: dict[Digest, sketch.Sketch] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "_Tars":
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._fds.values():
            if fd is not None:
                os.close(fd)
        self._stack.close()

    def add_archive(self, path: str) -> None:
        """Take layers from an archive, too."""
        given, what = self._stack.enter_context(opened([path]))
        source = read.source(given, what, self.lease)
        for candidate in read.candidates(source):
            for layer in (layer for part in candidate.parts for layer in part.layers):
                if layer.diff_id and layer.part is not None:
                    self._archives.setdefault(layer.diff_id, (source, layer))

    def fd(self, diff_id: Digest) -> int | None:
        """Return a descriptor of a layer's tar, None when it is not here."""
        if diff_id not in self._fds:
            fd = tars.opened(self._store, self.lease, diff_id)
            if fd is None and (found := self._archives.get(diff_id)):
                fd = self._from_archive(*found, diff_id)
            self._fds[diff_id] = fd
        return self._fds[diff_id]

    def _from_archive(self, source: Source, layer: Layer, diff_id: Digest) -> int:
        assert layer.part is not None
        taken = source.layer(layer.part, self.lease, "sha256", nothing)
        if taken.diff_id != diff_id:
            raise InvalidArchive(f"{source.what}: layer {layer.part} is damaged")
        fd = os.open(taken.path, os.O_RDONLY | os.O_CLOEXEC)
        return fd if taken.compression == "none" else tars.plain(fd, self.lease, diff_id)

    def sketch(self, diff_id: Digest) -> sketch.Sketch:
        """Return the sketch of a layer that is here."""
        if diff_id not in self._sketches:
            fd = self.fd(diff_id)
            size = os.fstat(fd).st_size if fd is not None else 0
            self._sketches[diff_id] = {} if fd is None else sketch.sketch(fd, size)
        return self._sketches[diff_id]


def _delta(
    here: _Tars, diff_id: Digest, neighbours: Sequence[Held], progress: Progress
) -> tuple[Prepared, Base] | None:
    """Write the delta of a layer; None when it would not be much smaller."""
    target = here.fd(diff_id)
    there = [base for held in neighbours for base in held.diff_ids if here.fd(base) is not None]
    near = sketch.nearest(here.sketch(diff_id), {base: here.sketch(base) for base in there})
    if target is None or not near:
        return None
    size = os.fstat(target).st_size
    path = here.lease.path()
    advance = counter(progress, diff_id.short, "Comparing", size)
    with open(path, "xb") as f:
        sink = HashedSink(f.fileno())
        encode.encode(
            [_layer(here, base) for base in near], _layer(here, diff_id), sink, advance=advance
        )
    if sink.size > size * _WORTH:
        os.unlink(path)
        return None
    blob = descriptor(sink.digest, sink.size, diff_id, near)
    owner = next(held for held in neighbours if near[0] in held.diff_ids)
    return Prepared(Delta(blob, diff_id, tuple(near)), path), Base(owner.id, owner.names)


def _layer(here: _Tars, diff_id: Digest) -> encode.Layer:
    fd = here.fd(diff_id)
    assert fd is not None
    return encode.Layer(diff_id, fd, f"layer {diff_id}")


def undone(
    store: Store, source: Source, delta: Delta, size: int, lease: Lease, progress: Progress
) -> Taken:
    """Write the layer that a delta makes, of `size` bytes, to the lease.

    Raises InvalidArchive when the delta, or what comes of it, is not what it should be, and
    StoreError.
    """
    blob = checked(source, delta, lease)
    what = f"{source.what}: delta {delta.blob.digest}"
    check_room(store, size, f"layer {delta.result}")
    count = counter(progress, delta.result.short, "Loading layer", size)
    path = lease.path()
    with _Tars(store, lease) as here, ExitStack() as stack:

        def region(diff_id: Digest) -> Region | None:
            fd = here.fd(diff_id) if diff_id in delta.bases else None
            return None if fd is None else Region(fd, 0, os.fstat(fd).st_size)

        read_from = stack.enter_context(open(blob.path, "rb"))
        try:
            to = stack.enter_context(closing(open(path, "xb", buffering=0)))

            def put(content: bytes) -> None:
                write_all(to.fileno(), content)
                count(len(content))

            made = apply.apply(read_from, region, put, what)
            os.fdatasync(to.fileno())
        except OSError as e:
            raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None
    return Taken(path, made, os.stat(path).st_size, "none", made, os.stat(path).st_size)


def checked(source: Source, delta: Delta, lease: Lease | None) -> Taken:
    """Take a delta itself to the lease, if there is one; raises InvalidArchive, StoreError."""
    what = f"{source.what}: delta {delta.blob.digest}"
    part = source.find(part_name(delta.blob.id))
    if part is None:
        raise InvalidArchive(f"{what} is missing")
    blob = source.blob(part, lease, delta.blob.id.algorithm, nothing)
    if (blob.digest, blob.size) != (delta.blob.digest, delta.blob.size):
        raise InvalidArchive(f"{what} is damaged: its digest is {blob.digest}")
    return blob
