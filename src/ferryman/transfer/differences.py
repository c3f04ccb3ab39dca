"""Deltas of layers against those that a host has, each made once however many hosts take it."""

import hashlib
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from ferryman.errors import FerryError, StoreError
from ferryman.image.digest import Digest
from ferryman.store.durable import write_all
from ferryman.transfer import scratch
from ferryman.transfer.delta import encode, sketch
from ferryman.transfer.tars import Tars

_SMALL = 64 << 10
_CANDIDATES = 64
# Of those that are compressed here, which costs to be looked at what it costs to unpack them.
_PACKED = 6
# Nor is another one looked at where one has so much of a layer.
_ENOUGH = 0.75
# A base of so much less than a layer cannot have much of it.
_LEAST = 0.02
_SAMPLE = 256 << 10
_SAMPLES = 8


class Difference(NamedTuple):
    """A delta in a file: what it makes, of what, its own digest and its bytes."""

    result: Digest
    bases: tuple[Digest, ...]
    digest: Digest
    fd: int
    size: int


class Differences:
    """Makes deltas, and keeps them until it is closed."""

    def __init__(self, tars: Tars) -> None:
        """Take what has the layers that are here."""
        self._tars = tars
        self._lock = threading.Lock()
        self._sketches: dict[Digest, sketch.Sketch] = {}
        self._made: dict[tuple[Digest, tuple[Digest, ...], str], Difference | None] = {}

    def __enter__(self) -> "Differences":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._made.values():
            if each:
                os.close(each.fd)

    def bases(self, target: Digest, there: Sequence[Digest]) -> tuple[Digest, ...]:
        """Return of which layers that are there one is best made, of those the likeliest first.

        None are returned where none has enough of it.
        """
        with self._lock, ExitStack() as stack:
            candidates = list(self._candidates(target, there))
            new = self._opened(target, stack) if candidates else None
            if new is None:
                return ()
            wanted = self._sketch(target, new)
            sketches: dict[Digest, sketch.Sketch] = {}
            for digest in candidates:
                if self._packed(digest) and _have_enough(wanted, sketches.values()):
                    continue
                fd = self._opened(digest, stack)
                if fd is not None:
                    sketches[digest] = self._sketch(digest, fd)
            return tuple(sketch.nearest(wanted, sketches))

    def made(
        self, target: Digest, bases: tuple[Digest, ...], compressions: Collection[str]
    ) -> Difference | None:
        """Return the delta that makes a layer of its bases.

        None where it would not be smaller than the layer, compressed.  Raises InvalidArchive.
        """
        compression = encode.choose(list(compressions))
        key = target, bases, compression
        if not bases:
            return None
        with self._lock, ExitStack() as stack:
            if key not in self._made:
                layers = [self._layer(digest, stack) for digest in bases]
                new = self._layer(target, stack)
                whole = [layer for layer in layers if layer]
                if new is None or len(whole) < len(layers):
                    return None
                self._made[key] = _written(whole, new, compression)
            return self._made[key]

    def _layer(self, digest: Digest, stack: ExitStack) -> encode.Layer | None:
        fd = self._opened(digest, stack)
        return None if fd is None else encode.Layer(digest, fd, f"layer {digest.short}")

    def _opened(self, digest: Digest, stack: ExitStack) -> int | None:
        try:
            fd = self._tars.open(digest)
        except StoreError:
            # Without it, or without room for it, whole layers go.
            return None
        stack.callback(os.close, fd)
        return fd

    def _candidates(self, target: Digest, there: Sequence[Digest]) -> Iterator[Digest]:
        """Yield the layers there that may be bases of one, and are here too."""
        wanted = self._tars.known_size(target)
        if wanted is None or wanted < _SMALL:
            return
        left, packed = _CANDIDATES, _PACKED
        for digest in dict.fromkeys(there):
            stored = self._tars.stored(digest) if digest != target and left else None
            size = self._tars.known_size(digest) if stored else None
            if stored is None or size is None or size < wanted * _LEAST:
                continue
            if self._packed(digest):
                if not packed:
                    continue
                packed -= 1
            left -= 1
            yield digest

    def _packed(self, digest: Digest) -> bool:
        stored = self._tars.stored(digest)
        return stored is not None and stored.compression != "none"

    def _sketch(self, digest: Digest, fd: int) -> sketch.Sketch:
        if digest not in self._sketches:
            self._sketches[digest] = sketch.sketch(fd, os.fstat(fd).st_size)
        return self._sketches[digest]


def _have_enough(target: sketch.Sketch, bases: Iterable[sketch.Sketch]) -> bool:
    return any(sketch.share(target, base) >= _ENOUGH for base in bases)


class _TooLarge(Exception):
    """The layer itself is smaller."""


class _File:
    """A file without a name, hashed, up to a size."""

    def __init__(self, limit: int) -> None:
        self.fd = scratch.unnamed()
        self.size = 0
        self._limit = limit
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> None:
        self.size += len(content)
        if self.size > self._limit:
            raise _TooLarge
        self._hash.update(content)
        write_all(self.fd, content)

    @property
    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hash.hexdigest()}")


def _written(
    bases: Sequence[encode.Layer], target: encode.Layer, compression: str
) -> Difference | None:
    out = _File(compressed_size(target.fd))
    try:
        made = encode.encode(bases, target, out, compression)
    except _TooLarge:
        os.close(out.fd)
        return None
    except (FerryError, OSError):
        os.close(out.fd)
        raise
    return Difference(made.result, made.bases, out.digest, out.fd, out.size)


def compressed_size(fd: int) -> int:
    """Return about how many bytes a file has when compressed, by samples of it."""
    import zstandard

    size = os.fstat(fd).st_size
    press = zstandard.ZstdCompressor(level=3)
    places = range(0, size, max(_SAMPLE, size // _SAMPLES))
    read = compressed = 0
    for place in places:
        content = os.pread(fd, _SAMPLE, place)
        read += len(content)
        compressed += len(press.compress(content))
    return size * compressed // read if read else 0
