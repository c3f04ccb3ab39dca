"""Images for many hosts go once to a registry or bucket, from which the hosts have them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ferryman.archive.write import Saved
from ferryman.errors import UsageError
from ferryman.image import reference
from ferryman.image.digest import Digest
from ferryman.image.reference import Reference
from ferryman.operations.push import push
from ferryman.registry import hosts
from ferryman.store.index import entries, named, update
from ferryman.store.layout import Store
from ferryman.transfer.depot import Depot
from ferryman.transfer.ends import bucket as buckets
from ferryman.transfer.line import Pace
from ferryman.transfer.pressed import Press

_REGISTRY, _BUCKET = "docker://", "s3://"


class Through(NamedTuple):
    """A place by which images go: one of the two."""

    text: str
    registry: str = ""
    """The repository below which they go."""
    bucket: str = ""
    """The bucket, and the prefix in it."""


class Stop(NamedTuple):
    """Where an image is to be had: its name at the registry, and the digest of its manifest."""

    name: str
    digest: Digest
    insecure: bool
    """Whether this machine reaches the registry without TLS."""


def place(text: str) -> Through:
    """Return the place that ``docker://REGISTRY/PREFIX`` or ``s3://BUCKET/PREFIX`` is.

    Raises UsageError.
    """
    for scheme, way in ((_REGISTRY, "registry"), (_BUCKET, "bucket")):
        rest = text.removeprefix(scheme).rstrip("/")
        if text.startswith(scheme) and rest.partition("/")[0]:
            return Through(text, **{way: rest})
    raise UsageError(
        f"invalid place {text}: it must be docker://REGISTRY[/PREFIX] or s3://BUCKET[/PREFIX]"
    )


@contextmanager
def depot(
    through: Through | None, press: Press, pace: Pace, tell: Callable[[int, int], None]
) -> Iterator[Depot | None]:
    """Give the bucket, if it is one, from which hosts fetch; raises CopyError.

    `tell` hears how many bytes have gone there, and of how many.
    """
    if through is None or not through.bucket:
        yield None
        return
    made = Depot(buckets.opened(through.bucket), press, pace, tell)
    try:
        made.check()
        yield made
    finally:
        made.close()


def bring(
    store: Store, images: Sequence[Saved], prefix: str, tell: Callable[[int, int], None]
) -> list[Stop]:
    """Push images below a prefix, what is missing there, and return where each is to be had.

    Raises UsageError for one without a name, and what push raises.
    """
    settings = hosts.load()
    done = []
    for image in images:
        tagged = next((name for name in image.names if name.tag), None)
        if tagged is None:
            raise UsageError(f"{image.config.digest} needs a name to go through a registry")
        path = tagged.name.partition("/")[2]
        name = reference.parse(f"{prefix}/{path}:{tagged.tag}")
        with _named(store, name, image):
            (pushed,) = push(
                store, name, progress=lambda subject, action, done, total: tell(done, total)
            )
        first = settings.endpoints(name.domain, pull=True)[-1]
        done.append(Stop(name.canonical, pushed.digest, first.insecure))
    return done


@contextmanager
def _named(store: Store, name: Reference, image: Saved) -> Iterator[None]:
    """Let the image have the name at the registry; if it had it not before, not afterwards."""
    there = any(entry.name == name for entry in entries(store))
    update(store, lambda before: named(before, name, image.target))
    try:
        yield
    finally:
        if not there:
            update(store, lambda before: [entry for entry in before if entry.name != name])
