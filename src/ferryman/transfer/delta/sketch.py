"""Which layers resemble which, from the names of their files alone."""

import heapq
import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from ferryman.archive import tar
from ferryman.errors import InvalidArchive
from ferryman.transfer.delta.align import MAX_MEMBERS, numberless

_KEYS = 256
# Of the bytes; less is not worth reading another base for.
_LEAST = 0.02


class Drawn(NamedTuple):
    """A file of a sketch: its size, and for how many bytes of the layer it stands."""

    size: int
    weight: float


Sketch = Mapping[int, Drawn]
"""Some of a layer's files, by the hashes of their names.

They are drawn by lot: large ones rather, and the same ones in all layers.
"""

K = TypeVar("K")


def sketch(fd: int, size: int) -> Sketch:
    """Return the sketch of an uncompressed tar of so many bytes, of which only headers are read.

    That of what is no tar is empty.
    """
    try:
        members = tar.members_in(fd, size, "the layer", MAX_MEMBERS)
        return of_files((member.name, member.size) for member in members)
    except InvalidArchive:
        return {}


def of_files(files: Iterable[tuple[bytes, int]]) -> Sketch:
    """Return the sketch of files, each with its size in bytes.

    A file's lot is an exponential variate of its name, over its size, and the lowest are drawn: so
    a byte of a large file is as likely to be stood for as one of a small one.
    """
    sizes: dict[int, int] = {}
    for name, size in files:
        if size:
            key = int.from_bytes(blake2b(numberless(name), digest_size=6).digest(), "little")
            sizes[key] = sizes.get(key, 0) + size
    lots = {key: -math.log((key + 0.5) / (1 << 48)) / size for key, size in sizes.items()}
    drawn = heapq.nsmallest(_KEYS, lots, key=lambda key: (lots[key], key))
    # A file of fewer bytes is drawn rarely, and stands for others like it.
    least = 1 / lots[drawn[-1]] if len(drawn) < len(lots) else 0
    return {key: Drawn(sizes[key], max(sizes[key], least)) for key in drawn}


def share(target: Sketch, base: Sketch) -> float:
    """Return which part of a target's bytes a base has, as `nearest` counts them: 0 to 1."""
    whole = _weight(target)
    return _shared(target, base, set(target)) / whole if whole else 0


def _shared(target: Sketch, base: Sketch, wanted: set[int]) -> float:
    return sum(
        target[key].weight / (1 if base[key].size == target[key].size else 2)
        for key in wanted & base.keys()
    )


def _weight(target: Sketch) -> float:
    return sum(file.weight for file in target.values())


def nearest(target: Sketch, bases: Mapping[K, Sketch], limit: int = 3) -> list[K]:
    """Return the bases that have most of a target's bytes, by their files' names; the best first.

    A file of another size counts half: of two versions, the one that differs in less is better.
    At most `limit`, each of which has some that those before it have not; there may be none.
    """
    chosen: list[K] = []
    wanted = set(target)

    def had(base: K) -> float:
        return _shared(target, bases[base], wanted)

    enough = _LEAST * _weight(target)
    while wanted and len(chosen) < limit:
        best = max(bases, key=had, default=None)
        if best is None or had(best) <= enough:
            break
        chosen.append(best)
        wanted -= bases[best].keys()
    return chosen
