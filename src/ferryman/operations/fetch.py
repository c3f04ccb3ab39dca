"""Fetch: blobs of a registry into the store, each gone on with where an earlier attempt ended."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial as bound
from typing import NamedTuple

from ferryman.archive import intake
from ferryman.archive.intake import Begun, Taken
from ferryman.archive.stream import Chained, FileStream
from ferryman.errors import (
    Interrupted,
    InvalidArchive,
    InvalidImage,
    RegistryError,
    StoreError,
)
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.image.platform import Platform
from ferryman.operations.progress import Progress, Tell, counter
from ferryman.registry import download
from ferryman.registry.repository import Repository
from ferryman.store import partial
from ferryman.store.layout import Store
from ferryman.store.lease import Lease
from ferryman.store.partial import Partial


class Pulling(NamedTuple):
    """What all that is pulled has in common."""

    store: Store
    repository: Repository
    platform: Platform | None
    with_referrers: bool
    at_once: int
    stop: threading.Event
    progress: Progress
    tell: Tell


class Fetched(NamedTuple):
    """A layer that has come, or that somebody else has brought in the meantime."""

    digest: Digest
    taken: Taken | None = None


def blob(
    how: Pulling, lease: Lease, stack: ExitStack, layer: Descriptor, diff_id: Digest | None
) -> Fetched:
    """Bring a layer, or, without a diff ID, any other blob; `stack` closes its file in the end."""
    digest = layer.id
    try:
        part = partial.begin(lease, digest, layer.size, how.stop)
    except OSError as e:
        raise StoreError(f"cannot write to the store {how.store.root}: {e.strerror}") from None
    if part is None:
        how.tell(digest.short, "Already exists")
        return Fetched(digest)
    stack.callback(part.close)
    taken = _verified(how, lease, layer, part, plain=diff_id is None)
    if diff_id:
        check_diff_id(digest, taken.diff_id, diff_id)
    part.share()
    how.tell(digest.short, "Pull complete")
    return Fetched(digest, taken)


def _verified(
    how: Pulling, lease: Lease, layer: Descriptor, part: Partial, *, plain: bool
) -> Taken:
    """Bring the rest of a layer.

    What was here of it may have been damaged since: then, and only then, it is fetched once more
    from its beginning.
    """
    digest, what = layer.id, f"layer {layer.digest}"
    while True:
        there = part.size
        count = counter(how.progress, digest.short, "Downloading", layer.size)

        def advance(n: int, count: Callable[[int], None] = count) -> None:
            if how.stop.is_set():
                raise Interrupted("interrupted")
            count(n)

        with download.opened(how.repository, digest, layer.size, there) as rest:
            whole = Chained(FileStream(part.fd, 0, there, what), rest)
            take = intake.take if plain else bound(intake.take_layer, unpack=False)
            try:
                taken = take(
                    whole,
                    layer.size,
                    lease,
                    what,
                    algorithm=digest.algorithm,
                    advance=advance,
                    begun=Begun(part.path, part.fd, there),
                )
            except InvalidArchive:
                part.rewind()
                if there:
                    continue
                raise
        if taken.digest == digest:
            return taken
        part.rewind()
        if not there:
            raise RegistryError(
                f"{how.repository.session.endpoint.host}: filesystem layer verification failed for "
                f"digest {digest}: its content is {taken.digest}"
            )


def check_diff_id(digest: Digest, found: Digest | None, wanted: Digest) -> None:
    """Raise InvalidImage when a layer unpacks to something else than its config says."""
    if found != wanted:
        raise InvalidImage(
            f'invalid diffID for layer {digest}: expected "{wanted}", got "{found or "none"}"'
        )
