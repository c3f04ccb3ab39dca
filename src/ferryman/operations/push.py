"""Push: images of the store to a registry, of which only what is missing there is sent.

What is stored goes as it is.  Layers that are plain, as those of docker's archives and of builds
are, are compressed while they are sent, as docker does it: nothing is written here but what became
of them, so that the next push finds them there.  The manifest that names them is then another one.
An image that was pulled keeps its manifest in any case.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial as bound
from typing import Any, NamedTuple

from ferryman import parallel
from ferryman.archive import compression
from ferryman.archive.stream import FileStream, Stream
from ferryman.errors import ImageNotFound, Interrupted, StoreError, UsageError
from ferryman.image import manifest as kinds
from ferryman.image import referrer
from ferryman.image.decode import decode, encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index, Manifest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations.progress import Progress, Tell, silent, untold
from ferryman.registry import hosts as settings
from ferryman.registry import manifests as remote
from ferryman.registry import referrers, repository, upload
from ferryman.registry.repository import Repository
from ferryman.store import blobs, compressed
from ferryman.store.images import of_target, read_document, referenced, walk
from ferryman.store.index import Entry, came_with, entries, pushed, update
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, hold_if_writable, reading

_ORIGINS = 2
"""From how many other repositories a blob is tried to be had before it is sent."""


class Pushed(NamedTuple):
    """An image that is at the registry now."""

    name: Reference
    digest: Digest
    size: int
    """The bytes of its manifest."""
    instead_of: Digest | None = None
    """The index of which only this manifest could be sent: the others are not here."""


def push(
    store: Store,
    name: Reference,
    *,
    every: bool = False,
    platform: Platform | None = None,
    compress: str = "gzip",
    with_referrers: bool = False,
    progress: Progress = silent,
    tell: Tell = untold,
) -> list[Pushed]:
    """Send an image to the registry of its name; with `every`, all tags of the repository.

    Of an index, `platform` alone, or all if it is here or there.  `compress` is how plain layers
    are compressed: "gzip", "zstd" (with a level as in "zstd:19") or "none".  `with_referrers` sends
    the signatures and SBOMs along that were pulled with it.  Raises ImageNotFound,
    UsageError, RegistryError, StoreError, Interrupted, and what is wrong with the user's files.
    """
    if name.digest:
        raise UsageError("cannot push a digest reference")
    algorithm, level = compression.parse_choice(compress)
    hosts = settings.load()
    stop = threading.Event()
    with hold_if_writable(store) as lease:
        with reading(store):
            listed = entries(store)
            chosen = _chosen(listed, name, every=every)
            targets = {e.digest for e in chosen}
            needed = [e for e in listed if e in chosen or came_with(e) in targets]
            if lease:
                lease.protect(x.id for e in needed for x in referenced(store, e.target))
            origins = _origins(store, listed, name)
        with repository.opened(name, push=True, hosts=hosts, stop=stop) as found:
            how = _How(
                store,
                lease,
                found,
                _Compression(algorithm, level),
                origins,
                hosts.uploads,
                stop,
                progress,
                tell,
            )
            done = []
            for entry in chosen:
                done.append(_pushed(how, entry, platform))
                if with_referrers and done[-1].digest == entry.digest:
                    _referrers(how, [e for e in listed if came_with(e) == entry.digest])
            return done


class _Compression(NamedTuple):
    algorithm: str
    level: int | None

    @property
    def key(self) -> str:
        """By this the result is remembered: a later version may compress in another way."""
        return f"{self.algorithm}:{'' if self.level is None else self.level}"


class _How(NamedTuple):
    """What all that is pushed has in common."""

    store: Store
    lease: Lease | None
    repository: Repository
    compression: _Compression
    origins: Mapping[str, Sequence[str]]
    at_once: int
    stop: threading.Event
    progress: Progress
    tell: Tell


def _chosen(listed: Sequence[Entry], name: Reference, *, every: bool) -> list[Entry]:
    mine = [entry for entry in listed if entry.name and entry.name.name == name.name]
    if not any(entry.name and entry.name.tag for entry in mine):
        raise ImageNotFound(f"An image does not exist locally with the tag: {name.familiar_name}")
    if every:
        return [entry for entry in mine if entry.name and entry.name.tag]
    wanted = name.tagged()
    for entry in mine:
        if entry.name == wanted:
            return [entry]
    raise ImageNotFound(f"tag does not exist: {wanted.familiar}")


def _origins(store: Store, listed: Sequence[Entry], name: Reference) -> Mapping[str, list[str]]:
    """Return by a blob's digest the other repositories of the registry that may have it, too."""
    found: dict[str, list[str]] = {}
    places: dict[Digest, tuple[Descriptor, set[str]]] = {}
    for entry in listed:
        _, paths = places.setdefault(entry.digest, (entry.target, set()))
        if entry.name and entry.name.domain == name.domain:
            paths.add(entry.name.path)
        pulled = (entry.target.annotations or {}).get(kinds.PULLED_FROM, "")
        if pulled.startswith(f"{name.domain}/"):
            paths.add(pulled.removeprefix(f"{name.domain}/"))
    for target, paths in places.values():
        if others := sorted(paths - {name.path}):
            # One that is damaged is no hindrance to pushing another.
            with suppress(StoreError):
                for blob in referenced(store, target):
                    known = found.setdefault(blob.digest, [])
                    known += [path for path in others if path not in known]
    return found


def _pushed(how: _How, entry: Entry, platform: Platform | None) -> Pushed:
    assert entry.name is not None
    tag = str(entry.name.tag)
    target, whole = entry.target, True
    kept = kinds.PULLED_FROM in (target.annotations or {})
    if target.media_type in kinds.INDEX_TYPES:
        whole = platform is None and _complete(how, target)
        if not whole:
            image = of_target(how.store, target, [entry.name], platform)
            target = image.manifest_descriptor
    put = _put(how, target, tag, kept=kept)
    digest = entry.digest if not whole and platform is None else None
    if how.lease and platform is None:
        name, original = entry.name, entry.target
        update(how.store, lambda before: pushed(before, name, original, put.id))
    return Pushed(entry.name, put.id, put.size, digest)


def _complete(how: _How, target: Descriptor) -> bool:
    """Tell whether each part of an index is here, or at the registry already."""
    here = list(walk(how.store, target))
    known = {descriptor.digest for descriptor, _ in here}
    missing = [
        child
        for _, document in here
        if isinstance(document, Index)
        for child in document.manifests or []
        if child.digest not in known
    ]
    return all(remote.exists(how.repository, child.id) for child in missing)


def _put(how: _How, target: Descriptor, reference: str, *, kept: bool) -> Descriptor:
    """Send a manifest, or an index, after all that it needs; return what it is there."""
    content = read_document(how.store, target)
    parsed = kinds.parse(content, f"manifest {target.digest}")
    if isinstance(parsed, Index):
        content = _index(how, parsed, content, kept=kept)
    else:
        content = _manifest(how, parsed, content, kept=kept)
    put = remote.put(how.repository, reference, content, target.media_type)
    return Descriptor(target.media_type, put.digest, len(content))


def _referrers(how: _How, found: Sequence[Entry]) -> None:
    """Send what belongs to an image that is there now."""
    for entry in found:
        target = entry.target
        content = read_document(how.store, target)
        parsed = kinds.parse(content, f"manifest {target.digest}")
        if isinstance(parsed, Manifest):
            _manifest(how, parsed, content, kept=True)
        tag = (target.annotations or {}).get(kinds.TAGGED, "")
        # Where it has come from may be anywhere: no other tag is to be overwritten.
        name = tag if referrer.tagged_subject(tag) else target.digest
        put = remote.put(how.repository, name, content, target.media_type)
        subject = referrer.subject(content, f"manifest {target.digest}")
        if subject and not put.subject:
            referrers.announce(how.repository, subject, referrer.described(content, target))


def _index(how: _How, index: Index, content: bytes, *, kept: bool) -> bytes:
    changed: dict[str, Descriptor] = {}
    for child in index.manifests or []:
        if blobs.size(how.store, child.id) is None:
            continue  # it is there already
        put = _put(how, child, child.digest, kept=kept)
        if put.digest != child.digest:
            changed[child.digest] = put
    return _replaced(content, "manifests", changed)


def _manifest(how: _How, manifest: Manifest, content: bytes, *, kept: bool) -> bytes:
    layers = {layer.digest: layer for layer in manifest.layers or []}
    jobs: list[Callable[[], Descriptor]] = [bound(_stored, how, manifest.config, quiet=True)]
    for layer in layers.values():
        how.tell(layer.id.short, "Preparing")
        plain = kinds.compression_of(layer.media_type) == "none"
        if plain and not kept and how.compression.algorithm != "none":
            jobs.append(bound(_compressed, how, layer))
        else:
            jobs.append(bound(_stored, how, layer))
    try:
        sent = parallel.run(jobs, how.stop, how.at_once)
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    changed = {old: new for old, new in zip(layers, sent[1:], strict=True) if new.digest != old}
    return _replaced(content, "layers", changed)


def _replaced(content: bytes, key: str, changed: Mapping[str, Descriptor]) -> bytes:
    """Return a manifest with some descriptors replaced, and everything else as it was."""
    if not changed:
        return content
    document = decode(content, dict[str, Any], "manifest")
    for each in document[key]:
        if new := changed.get(each["digest"]):
            each |= {"mediaType": new.media_type, "digest": new.digest, "size": new.size}
    return encode(document)


def _stored(how: _How, blob: Descriptor, *, quiet: bool = False) -> Descriptor:
    """Send a blob as it is stored, unless it is there."""
    tell: Tell = untold if quiet else how.tell
    digest = blob.id
    if _there(how, digest, blob.digest, tell):
        return blob
    if blobs.size(how.store, digest) != blob.size:
        raise StoreError(
            f"blob {digest} of the store {how.store.root} is missing or damaged: "
            "run `ferry system check --repair`"
        )
    with _open(how, digest) as source:
        at = _counting(how, digest, blob.size)
        upload.send(how.repository, digest, blob.size, source.at, at)
    tell(digest.short, "Pushed")
    return blob


def _compressed(how: _How, layer: Descriptor) -> Descriptor:
    """Send a plain layer compressed, unless that is there; return what has become of it."""
    algorithm, level = how.compression
    digest = layer.id
    separator = "+" if layer.media_type.startswith("application/vnd.oci.") else "."
    media_type = f"{layer.media_type}{separator}{algorithm}"
    known = compressed.lookup(how.store, digest, how.compression.key)
    if known and _there(how, known.id, layer.digest, how.tell):
        return Descriptor(media_type, known.digest, known.size)

    with _open(how, digest) as source:
        at = _counting(how, digest, known.size if known else 0)

        def made(start: int) -> Stream:
            stream = compression.compressed(source.at(0), algorithm, level)
            stream.skip(start)
            return stream

        sent = upload.stream(how.repository, made, at)
    if how.lease:
        try:
            form = compressed.Form(sent.digest, sent.size)
            compressed.record(how.lease, digest, how.compression.key, form)
        except OSError as e:
            raise StoreError(f"cannot write to the store {how.store.root}: {e.strerror}") from None
    how.tell(digest.short, "Pushed")
    return Descriptor(media_type, sent.digest, sent.size)


def _there(how: _How, digest: Digest, layer: str, tell: Tell) -> bool:
    """Tell whether the repository has a blob, or can have it from another one of the registry."""
    if how.stop.is_set():
        raise Interrupted("interrupted")
    short = Digest(layer).short
    if upload.size(how.repository, digest) is not None:
        tell(short, "Layer already exists")
        return True
    for origin in how.origins.get(layer, ())[:_ORIGINS]:
        if upload.mount(how.repository, digest, origin):
            tell(short, f"Mounted from {origin}")
            return True
    return False


class _Blob:
    """A blob of the store, to be read from any byte on."""

    def __init__(self, store: Store, digest: Digest) -> None:
        self._fd = blobs.open_blob(store, digest)
        self._size = os.fstat(self._fd).st_size
        self._what = f"blob {digest}"

    def at(self, start: int) -> Stream:
        return FileStream(self._fd, start, self._size - start, self._what)

    def close(self) -> None:
        os.close(self._fd)


def _open(how: _How, digest: Digest) -> "closing[_Blob]":
    return closing(_Blob(how.store, digest))


def _counting(how: _How, digest: Digest, total: int) -> upload.At:
    def at(n: int) -> None:
        if how.stop.is_set():
            raise Interrupted("interrupted")
        how.progress(digest.short, "Pushing", n, max(total, n) if total else 0)

    return at
