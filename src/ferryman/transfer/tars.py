"""The tars of layers, by their diff IDs, whichever way the store keeps them.

A compressed one is unpacked while it is read in order, and held against its diff ID before the last
of it is given out.  What is read here and there is unpacked into a file without a name, once.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

from ferryman.archive import compression
from ferryman.archive.stream import CHUNK, Bounded, FileStream, Stream
from ferryman.errors import InvalidArchive, StoreError
from ferryman.image.digest import Digest
from ferryman.store import blobs, layers
from ferryman.store.durable import write_all
from ferryman.store.layout import Store
from ferryman.transfer import scratch
from ferryman.transfer.pressed import File, Source


class Stored(NamedTuple):
    """How the store keeps a layer: its blob, the bytes of that, and how it is compressed."""

    blob: Digest
    size: int
    compression: str


class Tars:
    """The tars of layers that are here; what unpacking took is given back when it is closed."""

    def __init__(self, store: Store) -> None:
        """Look for layers in a store."""
        self._store = store
        self._lock = threading.Lock()
        self._unpacking = threading.Lock()
        self._own: dict[Digest, Digest] = {}
        self._stored: dict[Digest, Stored | None] = {}
        self._records: dict[Digest, Digest] | None = None
        self._unpacked: dict[Digest, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._unpacking:
            for fd in self._unpacked.values():
                os.close(fd)
            self._unpacked.clear()

    def add(self, diff_id: Digest, blob: Digest) -> None:
        """Say which blob is a layer: one that will not go as long as it is needed."""
        # Of two, the one that need not be unpacked.
        if blob == diff_id or diff_id not in self._own:
            self._own[diff_id] = blob

    def packed(self, diff_id: Digest) -> Stored | None:
        """Return how a layer that was added is kept; None for one that is a plain tar."""
        return None if self._own.get(diff_id) in (None, diff_id) else self.stored(diff_id)

    def stored(self, diff_id: Digest) -> Stored | None:
        """Return how a layer is kept; None where it is not here."""
        with self._lock:
            if diff_id not in self._stored:
                self._stored[diff_id] = self._look(diff_id)
            return self._stored[diff_id]

    def _look(self, diff_id: Digest) -> Stored | None:
        own = self._own.get(diff_id)
        if own:
            return _as_it_is(self._store, own)
        plain = _as_it_is(self._store, diff_id)
        # A compressed blob is known by a digest, too, which is no diff ID.
        if plain and plain.compression == "none":
            return plain
        if self._records is None:
            self._records = layers.by_diff_id(self._store)
        found = self._records.get(diff_id)
        return _as_it_is(self._store, found) if found else None

    def size(self, diff_id: Digest) -> int:
        """Return the bytes of a tar, for which it is unpacked if need be; raises StoreError."""
        known = self.known_size(diff_id)
        if known is not None:
            return known
        fd = self.open(diff_id)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def known_size(self, diff_id: Digest) -> int | None:
        """Return the bytes of a tar; None where it is not here, or would have to be unpacked."""
        stored = self.stored(diff_id)
        if stored is None or stored.compression == "none":
            return stored and stored.size
        record = layers.lookup(self._store, stored.blob)
        return record.size if record and record.diff_id == diff_id else None

    def open(self, diff_id: Digest) -> int:
        """Open a tar as a file, unpacked if need be; the caller closes it.

        Raises StoreError, also when there is no room for it.
        """
        stored = self._here(diff_id)
        if stored.blob == diff_id:
            return blobs.open_blob(self._store, diff_id)
        with self._unpacking:
            if diff_id not in self._unpacked:
                self._unpacked[diff_id] = self._unpack(diff_id, stored)
            return os.dup(self._unpacked[diff_id])

    def source(self, diff_id: Digest) -> Source:
        """Open a compressed layer's tar, to be read in order; raises StoreError."""
        stored = self._here(diff_id)
        # It is there for good: nothing is closed before the end.
        unpacked = self._unpacked.get(diff_id)
        if unpacked is not None:
            return File(os.dup(unpacked))
        fd = blobs.open_blob(self._store, stored.blob)
        return _InOrder(self._tar(diff_id, stored, fd), fd)

    def blob(self, diff_id: Digest) -> Source:
        """Open the blob that a layer is kept as, to be read in order; raises StoreError."""
        stored = self._here(diff_id)
        fd = blobs.open_blob(self._store, stored.blob)
        what = self._what(diff_id)
        plain = FileStream(fd, 0, stored.size, what)
        return _InOrder(_Checked(plain, stored.blob, stored.size, what), fd)

    def _here(self, diff_id: Digest) -> Stored:
        stored = self.stored(diff_id)
        if stored is None:
            raise StoreError(f"{self._what(diff_id)} is missing: run `ferry system check --repair`")
        return stored

    def _what(self, diff_id: Digest) -> str:
        return f"layer {diff_id} of the store {self._store.root}"

    def _tar(self, diff_id: Digest, stored: Stored, fd: int) -> Stream:
        what = self._what(diff_id)
        blob = FileStream(fd, 0, stored.size, what)
        tar = compression.decompressed(blob, stored.compression, what)
        return _Checked(tar, diff_id, self.known_size(diff_id), what)

    def _unpack(self, diff_id: Digest, stored: Stored) -> int:
        # Half of what is free is others'.
        room, size = scratch.room() // 2, self.known_size(diff_id)
        what = self._what(diff_id)
        if size is not None and size > room:
            raise StoreError(f"no room in {scratch.folder()} to unpack {what}: it has {size} bytes")
        with _closing(blobs.open_blob(self._store, stored.blob)) as fd:
            tar = Bounded(self._tar(diff_id, stored, fd), room, what)
            out = scratch.unnamed()
            try:
                while piece := tar.read(CHUNK):
                    write_all(out, piece)
            except OSError as e:
                os.close(out)
                raise StoreError(f"cannot unpack {what}: {e.strerror}") from None
            except BaseException:
                os.close(out)
                raise
            return out


def _as_it_is(store: Store, blob: Digest) -> Stored | None:
    size = blobs.size(store, blob)
    if size is None:
        return None
    with _closing(blobs.open_blob(store, blob)) as fd:
        return Stored(blob, size, compression.of_file(fd))


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


class _InOrder:
    """A stream whose pieces are asked for one behind the other."""

    def __init__(self, stream: Stream, fd: int) -> None:
        self._stream = stream
        self._fd = fd

    def read(self, start: int, size: int) -> bytes:
        self._stream.skip(start - self._stream.tell())
        return self._stream.read(size)

    def close(self) -> None:
        os.close(self._fd)


class _Checked(Stream):
    """A stream of a digest, and of so many bytes where that is known.

    Its last piece is given out only if all is as it should be.
    """

    def __init__(self, stream: Stream, digest: Digest, size: int | None, what: str) -> None:
        super().__init__()
        self._stream = stream
        self._digest = digest
        self._hash = digest.hasher()
        self._size = size
        self._what = what

    def readinto(self, view: memoryview) -> int:
        if not view:
            return 0
        n = self._read(view)
        self._hash.update(view[:n])
        self._at += n
        if self._size is not None and self._at >= self._size:
            # What comes behind may be the checksum of a compressor, and must not be more.
            if self._at > self._size or self._read(memoryview(bytearray(1))):
                raise self._damaged()
        elif n:
            return n
        if self._hash.hexdigest() != self._digest.encoded:
            raise self._damaged()
        return n

    def _read(self, view: memoryview) -> int:
        try:
            return self._stream.readinto(view)
        except InvalidArchive:
            raise self._damaged() from None

    def _damaged(self) -> StoreError:
        return StoreError(f"{self._what} is damaged: run `ferry system check --repair`")
