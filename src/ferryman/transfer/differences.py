"""Deltas of layers against those that a host has, each made once however many hosts take it."""

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from ferryman.errors import FerryError
from ferryman.image.digest import Digest
from ferryman.store.durable import write_all
from ferryman.transfer import scratch
from ferryman.transfer.delta import encode, sketch

_SMALL = 64 << 10
_CANDIDATES = 64
_SAMPLE = 256 << 10
_SAMPLES = 8

Open = Callable[[Digest], int | None]
"""Opens the plain tar of a layer that is here; None where there is none."""


class Difference(NamedTuple):
    """A delta in a file: what it makes, of what, its own digest and its bytes."""

    result: Digest
    bases: tuple[Digest, ...]
    digest: Digest
    fd: int
    size: int


class Differences:
    """Makes deltas, and keeps them until it is closed."""

    def __init__(self, open_layer: Open) -> None:
        """Take what opens layers."""
        self._open = open_layer
        self._lock = threading.Lock()
        self._sketches: dict[Digest, sketch.Sketch] = {}
        self._made: dict[tuple[Digest, tuple[Digest, ...], str], Difference | None] = {}

    def __enter__(self) -> "Differences":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._made.values():
            if each:
                os.close(each.fd)

    def best(
        self, target: Digest, there: Sequence[Digest], compressions: Collection[str]
    ) -> Difference | None:
        """Return the delta that makes a layer of some that are there.

        None where it would not be smaller than the layer, compressed.  Raises InvalidArchive.
        """
        with self._lock, ExitStack() as stack:

            def opened(digest: Digest) -> int | None:
                fd = self._open(digest)
                if fd is not None:
                    stack.callback(os.close, fd)
                return fd

            new = opened(target)
            if new is None or os.fstat(new).st_size < _SMALL:
                return None
            here: dict[Digest, int] = {}
            for digest in dict.fromkeys(there):
                fd = opened(digest) if digest != target and len(here) < _CANDIDATES else None
                if fd is not None:
                    here[digest] = fd
            sketches = {digest: self._sketch(digest, fd) for digest, fd in here.items()}
            bases = tuple(sketch.nearest(self._sketch(target, new), sketches))
            compression = encode.choose(list(compressions))
            key = target, bases, compression
            if key not in self._made:
                layers = [encode.Layer(each, here[each], f"layer {each.short}") for each in bases]
                made = encode.Layer(target, new, f"layer {target.short}")
                self._made[key] = _written(layers, made, compression) if bases else None
            return self._made[key]

    def _sketch(self, digest: Digest, fd: int) -> sketch.Sketch:
        if digest not in self._sketches:
            self._sketches[digest] = sketch.sketch(fd, os.fstat(fd).st_size)
        return self._sketches[digest]


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
