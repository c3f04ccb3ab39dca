"""Verify: every byte of an archive is looked at as by load, and nothing is kept."""

import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ferryman import parallel
from ferryman.archive import bases, deltas, docker, read
from ferryman.archive.bases import Base
from ferryman.archive.candidate import Candidate, Layer
from ferryman.archive.documents import Documents
from ferryman.archive.intake import Taken
from ferryman.archive.stream import Stream
from ferryman.errors import InvalidArchive
from ferryman.image.digest import Digest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations import load
from ferryman.operations.progress import Progress, counter, silent


class Verified(NamedTuple):
    """One image of an archive, all of which is what it should be."""

    id: Digest
    names: tuple[Reference, ...]
    platforms: tuple[Platform, ...]
    layers: int
    """How many layers there are for all platforms."""
    missing: int
    """How many of these are not in the archive: it is a delta."""


class Report(NamedTuple):
    """What was found in an archive."""

    images: list[Verified]
    bases: list[Base]
    """What must be there already for it to be loaded."""


def verify(given: int | Stream, what: str, *, progress: Progress = silent) -> Report:
    """Read an archive to its end and compare every digest, diff ID and size.

    `given` is as for `load.load`.  Raises InvalidArchive for the first damage.
    """
    advance = counter(progress, what, "Verifying", 0)
    source = read.source(given, what, None, advance, check=True)
    candidates = read.candidates(source)
    needed = bases.of(source)
    # What docker reads may be other files than what is read of the layout beside it.
    both = [*candidates, *(docker.candidates(Documents(source)) or [])]
    layers = {(layer.part, layer.diff_id): layer for layer in _layers(both)}
    for layer in layers.values():
        if layer.part is None and not needed:
            missing = layer.descriptor.id if layer.descriptor else layer.diff_id
            raise InvalidArchive(f"{what}: layer {missing} is missing")
    stop = threading.Event()
    # A layer is known by its descriptor, too, where there is one.
    jobs: list[Callable[[], Taken]] = [
        partial(load.take, source, layer, None, progress, stop)
        for layer in sorted(
            (layer for layer in layers.values() if layer.part is not None),
            key=lambda layer: -source.size(layer.part or ""),
        )
    ]
    parallel.run(jobs, stop)
    for delta in deltas.of(source).values():
        from ferryman.operations.deltas import checked  # deltas are rare, and slow to import

        checked(source, delta, None)
    return Report([_verified(candidate) for candidate in candidates], needed)


def _layers(candidates: list[Candidate]) -> list[Layer]:
    # Those with a descriptor come last, and so are the ones that are kept.
    found = [layer for c in candidates for part in c.parts for layer in part.layers]
    return sorted(found, key=lambda layer: layer.descriptor is not None)


def _verified(candidate: Candidate) -> Verified:
    layers = [layer for part in candidate.parts for layer in part.layers]
    return Verified(
        id=candidate.image_id,
        names=candidate.names,
        platforms=tuple(
            dict.fromkeys(part.config.platform for part in candidate.parts if part.is_image)
        ),
        layers=len(layers),
        missing=sum(layer.part is None for layer in layers),
    )
