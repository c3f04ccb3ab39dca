"""Copy: an image from one end to another, without the store where it need not pass through it.

The ends are named as skopeo names them, ``TRANSPORT:REFERENCE``, and three more: ``ferry:`` is the
store, ``ssh://`` an engine on another machine, ``s3://`` a layout in an object store.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import msgspec

from ferryman import parallel
from ferryman.archive import compression
from ferryman.errors import Interrupted, InvalidReference, UsageError
from ferryman.image import manifest as kinds
from ferryman.image import platform as platforms
from ferryman.image import reference as references
from ferryman.image.manifest import Descriptor
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations import move, save
from ferryman.operations.progress import Progress, Tell, counter, silent, untold
from ferryman.store.layout import Store, open_store
from ferryman.transfer import scratch
from ferryman.transfer.ends import (
    archives,
    bucket,
    convert,
    daemon,
    directory,
    folder,
    host,
    kept,
    podman,
    repository,
    verified,
)
from ferryman.transfer.ends.contract import Content, CopyError, Destination, Image, Source
from ferryman.transfer.ends.gather import gather

TRANSPORTS = (
    "containers-storage",
    "dir",
    "docker",
    "docker-archive",
    "docker-daemon",
    "ferry",
    "oci",
    "oci-archive",
    "s3",
    "ssh",
)
_WITH_SLASHES = frozenset(("docker", "s3", "ssh"))


class Options(NamedTuple):
    """How an image is to be copied."""

    every: bool = False
    """All images of an index, and the index itself."""
    platform: Platform | None = None
    """Of an index, the image for this platform instead of the one for this machine."""
    compress: str = "none"
    """How plain layers are to be compressed: "gzip" or "zstd", with a level as in "zstd:19"."""
    preserve_digests: bool = False
    """Fail rather than change a byte."""


def options(every: bool, platform: str, compress: str, preserve_digests: bool) -> Options:
    """Return options as they are typed; raises InvalidImage for what is no platform."""
    wanted = platforms.parse(platform) if platform else None
    return Options(every, wanted, compress, preserve_digests)


class Copied(NamedTuple):
    """An image that is at its destination now."""

    target: Descriptor
    sent: int
    """The bytes of the blobs that went there."""


class End(NamedTuple):
    """A transport and what it is to find."""

    transport: str
    reference: str

    def __str__(self) -> str:
        slashes = "//" if self.transport in _WITH_SLASHES else ""
        return f"{self.transport}:{slashes}{self.reference}"


class Means(NamedTuple):
    """What copies have in common that are made one after the other."""

    store: Callable[[], Store]
    """Opens the store, when it is needed."""
    stop: threading.Event
    origins: dict[str, dict[str, list[str]]]
    """Of each registry the repositories that may have a blob."""
    progress: Progress = silent
    tell: Tell = untold


def means(store: Callable[[], Store], progress: Progress = silent, tell: Tell = untold) -> Means:
    """Return what is needed to copy; `tell` hears what becomes of each blob."""
    return Means(store, threading.Event(), {}, progress, tell)


def parse(text: str) -> End:
    """Return what ``TRANSPORT:REFERENCE`` stands for; raises UsageError with skopeo's words."""
    transport, colon, rest = text.partition(":")
    if not colon:
        raise UsageError(
            f'Invalid image name "{text}", expected colon-separated transport:reference'
        )
    if transport not in TRANSPORTS:
        raise UsageError(f'Invalid image name "{text}", unknown transport "{transport}"')
    if transport in _WITH_SLASHES:
        if not rest.startswith("//"):
            raise UsageError(f'Invalid image name "{text}": it must begin with {transport}://')
        rest = rest[2:]
    if not rest:
        raise UsageError(f'Invalid image name "{text}": it names nothing')
    return End(transport, rest)


def copy(how: Means, origin: End, target: End, options: Options | None = None) -> Copied:
    """Copy an image; at the destination it is there as a whole, or not at all.

    Raises UsageError, ImageNotFound, CopyError, InvalidImage, InvalidArchive, RegistryError,
    HostError, StoreError, Interrupted.
    """
    options = options or Options()
    if options.every and options.platform:
        raise UsageError("--all and --platform say different things")
    algorithm, _ = compression.parse_choice(options.compress)
    if options.preserve_digests and algorithm != "none":
        raise UsageError("--preserve-digests does not let --compress change anything")
    try:
        if target.transport == "ssh":
            return _moved(how, origin, target, options)
        with _source(how, origin) as source:
            image = gather(source, every=options.every, platform=options.platform)
            origins = _origins(how, source, image, target)
            with _destination(how, target, source, image, origins) as destination:
                _check(destination, image, options)
                done = _brought(how, source, destination, image, options)
            _remember(how, target, image)
            return done
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None


@contextmanager
def _source(how: Means, end: End) -> Iterator[Source]:
    reference = end.reference
    if end.transport == "docker":
        with repository.source(_name(end), how.stop) as from_registry:
            yield from_registry
    elif end.transport == "ferry":
        with kept.source(how.store(), reference) as from_store:
            yield from_store
    elif end.transport == "docker-daemon":
        with daemon.source(_in_daemon(end)) as from_daemon:
            yield from_daemon
    elif end.transport == "containers-storage":
        with podman.source(podman.place(reference)) as from_podman:
            yield from_podman
    elif end.transport == "ssh":
        with host.source(host.parse(str(end))) as from_host:
            yield from_host
    elif end.transport == "s3":
        yield bucket.source(reference)
    elif end.transport == "dir":
        yield directory.DirectorySource(reference)
    else:
        path, _, inner = reference.partition(":")
        if end.transport == "oci":
            yield folder.source(path, inner)
            return
        with archives.opened(path, f"{end.transport}:{path}") as archive:
            if end.transport == "oci-archive":
                yield archives.layout_source(archive, inner)
            else:
                yield archives.ArchiveSource(archive, inner)


@contextmanager
def _destination(
    how: Means, end: End, source: Source, image: Image, origins: dict[str, list[str]]
) -> Iterator[Destination]:
    reference = end.reference
    if end.transport == "docker":
        with repository.destination(_name(end), how.stop, origins) as to_registry:
            yield to_registry
    elif end.transport == "ferry":
        name = archives.named(reference, str(end))
        with kept.destination(how.store(), name, source.repository) as to_store:
            yield to_store
    elif end.transport == "docker-daemon":
        with daemon.destination(_in_daemon(end), source, image) as to_daemon:
            yield to_daemon
    elif end.transport == "containers-storage":
        with podman.destination(podman.place(reference)) as to_podman:
            yield to_podman
    elif end.transport == "s3":
        yield bucket.destination(reference)
    elif end.transport == "dir":
        yield directory.DirectoryDestination(reference)
    else:
        path, _, inner = reference.partition(":")
        if end.transport == "oci":
            yield folder.destination(path, inner)
            return
        form = "oci" if end.transport == "oci-archive" else "docker"
        with archives.destination(path, f"{end.transport}:{path}", form, inner) as to_archive:
            yield to_archive


def _name(end: End) -> Reference:
    try:
        return references.parse(end.reference)
    except InvalidReference as e:
        raise UsageError(f"{end}: {e}") from None


def _in_daemon(end: End) -> str:
    """Return the name or ID of an image of a daemon; as skopeo has it, a name needs a tag."""
    algorithm, colon, encoded = end.reference.partition(":")
    if colon and algorithm == "sha256" and len(encoded) == 64:
        return end.reference
    name = _name(end)
    if not name.tag and not name.digest:
        raise UsageError(f"{end}: the reference has neither a tag nor a digest")
    return name.familiar


def _check(destination: Destination, image: Image, options: Options) -> None:
    """Refuse what a destination cannot take, before anything is sent."""
    is_index = image.target.media_type in kinds.INDEX_TYPES
    if is_index and not destination.manifests & kinds.INDEX_TYPES:
        raise UsageError(f"{destination.what} takes one image, not an index of several")
    if not options.preserve_digests:
        return
    if not destination.keeps:
        raise CopyError(f"{destination.what} keeps no manifests: --preserve-digests cannot be had")
    for document in image.documents.values():
        if document.descriptor.media_type not in destination.manifests:
            raise CopyError(
                f"{destination.what} does not take {document.descriptor.media_type}: without "
                "--preserve-digests it is converted"
            )


def _brought(
    how: Means, source: Source, destination: Destination, image: Image, options: Options
) -> Copied:
    algorithm, level = compression.parse_choice(options.compress)
    plain = convert.compressible(image) if algorithm != "none" else frozenset()
    sent = 0
    lock = threading.Lock()

    def put(blob: Descriptor, content: Content) -> None:
        nonlocal sent
        if destination.has(blob):
            how.tell(blob.id.short, "Already exists")
            return
        destination.put(blob, content)
        with lock:
            sent += blob.size
        how.tell(blob.id.short, "Copied")

    def bring(blob: Descriptor) -> Descriptor:
        count = counter(how.progress, blob.id.short, "Copying blob", blob.size)

        def advance(n: int) -> None:
            if how.stop.is_set():
                raise Interrupted("interrupted")
            count(n)

        content = partial(verified.opened, source, blob, advance)
        if blob.id not in plain:
            put(blob, content)
            return blob
        with convert.compressed(blob, content, algorithm, level) as (made, again):
            put(made, again)
            return made

    alone = destination.at_once == 1
    # An archive is the same each time; elsewhere the last ones to be worked on are small.
    order = sorted(image.blobs.values(), key=lambda b: (0 if alone else -b.size, b.digest))
    try:
        jobs = [partial(bring, blob) for blob in order]
        results = parallel.run(jobs, how.stop, destination.at_once)
        changed = {
            old.digest: new
            for old, new in zip(order, results, strict=True)
            if new.digest != old.digest
        }
        made = convert.converted(image, changed, destination.manifests)
        destination.finish(made)
    except BrokenPipeError:
        raise
    except OSError as e:
        raise CopyError(f"{destination.what}: {e.strerror or e}") from None
    return Copied(made.target, sent)


def _origins(how: Means, source: Source, image: Image, target: End) -> dict[str, list[str]]:
    """Return which repositories of the destination's registry may have the blobs of an image."""
    if target.transport != "docker":
        return {}
    domain = _name(target).domain
    known = how.origins.setdefault(domain, {})
    if source.repository.startswith(f"{domain}/"):
        _add(known, image, source.repository.removeprefix(f"{domain}/"))
    return known


def _remember(how: Means, target: End, image: Image) -> None:
    if target.transport == "docker":
        name = _name(target)
        _add(how.origins.setdefault(name.domain, {}), image, name.path)


def _add(known: dict[str, list[str]], image: Image, path: str) -> None:
    for digest in image.blobs:
        paths = known.setdefault(digest, [])
        if path not in paths:
            paths.append(path)


def _moved(how: Means, origin: End, target: End, options: Options) -> Copied:
    """Have `move` bring an image to a host: from the store, or from one that is made for it."""
    there = host.parse(str(target))
    name = archives.named(there.name, str(target))
    if options.preserve_digests or options.compress != "none":
        raise UsageError(f"{target}: what is sent there is for its engine to keep as it likes")
    if origin.transport == "ferry":
        return _from_store(how, how.store(), origin.reference, name, there, options)
    with tempfile.TemporaryDirectory(prefix="ferry-", dir=scratch.folder()) as made:
        store = open_store(f"{made}/store")
        passing = how._replace(store=lambda: store)
        copy(passing, origin, End("ferry", name.canonical), options)
        return _from_store(how, store, name.canonical, name, there, options)


def _from_store(
    how: Means,
    store: Store,
    image: str,
    name: Reference,
    there: host.There,
    options: Options,
) -> Copied:
    with save.chosen(store, [image], options.platform) as chosen:
        renamed = [each._replace(names=(name,)) for each in chosen]
        moved = move.bring(
            store, renamed, [there.host], platform=options.platform, tell=how.progress
        )[0]
        if moved.error:
            raise CopyError(moved.error)
        target = msgspec.structs.replace(chosen[0].target, annotations=None)
        return Copied(target, moved.sent)
