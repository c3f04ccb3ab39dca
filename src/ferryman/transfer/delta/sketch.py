"""Which layers resemble which, from the names of their files alone."""

import heapq
import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TypeVar

from ferryman.archive import tar
from ferryman.errors import InvalidArchive
from ferryman.transfer.delta.align import MAX_MEMBERS, numberless

_KEYS = 256
# Of the keys; less is not worth reading another base for.
_LEAST = 0.04

Sketch = frozenset[int]
"""Some of a layer's files, drawn by lot: large ones rather, and the same ones in all layers."""

K = TypeVar("K")


def sketch(fd: int, size: int) -> Sketch:
    """Return the sketch of an uncompressed tar of so many bytes, of which only headers are read.

    That of what is no tar is empty.
    """
    try:
        members = tar.members_in(fd, size, "the layer", MAX_MEMBERS)
        return of_files((member.name, member.size) for member in members)
    except InvalidArchive:
        return frozenset()


def of_files(files: Iterable[tuple[bytes, int]]) -> Sketch:
    """Return the sketch of files, each with its size in bytes.

    A file's lot is an exponential variate of its name, over its size: so each byte counts as much,
    in a large file or in a small one.
    """
    lots: dict[int, float] = {}
    for name, size in files:
        if size:
            key = int.from_bytes(blake2b(numberless(name), digest_size=8).digest(), "little")
            lots[key] = -math.log((key + 1) / (1 << 64)) / size
    return frozenset(heapq.nsmallest(_KEYS, lots, key=lambda key: lots[key]))


def nearest(target: Sketch, bases: Mapping[K, Sketch], limit: int = 3) -> list[K]:
    """Return the bases that have most of a target's files, at most `limit`, the best first.

    Each of them has some that those before it have not; there may be none.
    """
    chosen: list[K] = []
    wanted = target
    while wanted and len(chosen) < limit:
        best = max(bases, key=lambda base: len(bases[base] & wanted), default=None)
        if best is None or len(bases[best] & wanted) <= _LEAST * len(target):
            break
        chosen.append(best)
        wanted -= bases[best]
    return chosen
