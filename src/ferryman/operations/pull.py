"""Pull: an image out of a registry into the store, all or nothing, no byte twice."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial as bound
from typing import NamedTuple

import msgspec

from ferryman import parallel
from ferryman.archive import intake
from ferryman.archive.intake import Begun, Taken
from ferryman.archive.stream import Chained, FileStream
from ferryman.errors import (
    ImageNotFound,
    Interrupted,
    InvalidArchive,
    InvalidImage,
    RegistryError,
    StoreError,
)
from ferryman.image import config as configs
from ferryman.image import manifest as kinds
from ferryman.image import platform as platforms
from ferryman.image import reference
from ferryman.image.config import Config
from ferryman.image.decode import MAX_JSON
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index, Manifest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations.progress import Progress, counter, silent
from ferryman.registry import download, referrers, repository
from ferryman.registry import hosts as settings
from ferryman.registry import manifests as remote
from ferryman.registry.failure import Denied, NotFound, Unreachable
from ferryman.registry.repository import Repository
from ferryman.store import blobs, layers, partial
from ferryman.store.collect import working
from ferryman.store.index import Entry, all_kept, all_named, entries, update
from ferryman.store.layout import Store
from ferryman.store.lease import Lease
from ferryman.store.partial import Partial

Tell = Callable[[str, str], None]
"""Called with a subject (a tag, twelve characters of a layer's digest) and what became of it, as
docker says it.  Several threads may call it at once."""

_MAX_NESTING = 4
_MOST_REFERRERS = 1000


class Pulled(NamedTuple):
    """An image that is here now."""

    name: Reference
    digest: Digest
    """Of the manifest or index that the name stands for."""
    newer: bool
    """False when all of it was here before, under this name."""


def untold(subject: str, words: str) -> None:
    """Take no notice."""


def pull(
    store: Store,
    name: Reference,
    *,
    every: bool = False,
    platform: Platform | None = None,
    with_referrers: bool = False,
    progress: Progress = silent,
    tell: Tell = untold,
) -> list[Pulled]:
    """Bring an image here, of an index the one for `platform`, or for this machine.

    With `every`, all tags of the repository; `with_referrers`, the signatures, SBOMs and whatever
    else belongs to it.  Mirrors are asked first.  What an interrupted pull
    has brought of a layer is gone on with.  Raises RegistryError, InvalidImage, InvalidArchive,
    StoreError, Interrupted, and what is wrong with the user's files about registries.
    """
    hosts = settings.load()
    stop = threading.Event()
    error: RegistryError | None = None
    for endpoint in hosts.endpoints(name.domain, pull=True):
        with repository.session(endpoint, name.domain, hosts, stop) as session:
            try:
                session.ping()
            except Unreachable as e:
                error = e
                continue
            try:
                found = Repository(session, name.path)
                how = _How(
                    store,
                    found,
                    platform,
                    with_referrers,
                    hosts.downloads,
                    stop,
                    progress,
                    tell,
                )
                names = _tags(found, name) if every else [name]
                return [_pulled(how, each) for each in names]
            except RegistryError as e:
                if not endpoint.mirror:
                    raise
                error = e
    assert error is not None
    raise error


class _How(NamedTuple):
    """What all that is pulled has in common."""

    store: Store
    repository: Repository
    platform: Platform | None
    with_referrers: bool
    at_once: int
    stop: threading.Event
    progress: Progress
    tell: Tell


class _Found(NamedTuple):
    """What a name stands for at the registry."""

    target: Descriptor
    documents: dict[Digest, bytes]
    """The manifest, the indexes above it and the config."""
    manifest: Manifest
    config: Config
    referrers: tuple[Descriptor, ...] = ()
    """What belongs to it; their manifests are among the documents."""


def _tags(found: Repository, name: Reference) -> list[Reference]:
    try:
        tags = repository.tags(found)
    except (NotFound, Denied) as e:
        raise _in_words(e, name) from None
    return [name._replace(tag=tag, digest=None) for tag in tags if reference.is_tag(tag)]


def _pulled(how: _How, name: Reference) -> Pulled:
    """Pull one image."""
    # Of a name with both, docker heeds the digest.
    name = name._replace(tag=None) if name.digest else name.tagged()
    wanted = str(name.digest or name.tag)
    how.tell(wanted, f"Pulling from {name.path}")
    with working(how.store) as lease, ExitStack() as stack:
        digest = name.digest or _by_head(how.repository, wanted)
        if digest and any(e.name == name and e.pushed_as == digest for e in entries(how.store)):
            # What is here went there, and was only compressed on the way.
            how.tell("Digest", digest)
            return Pulled(name, digest, False)
        found = _look_up(how, lease, digest or wanted, name)
        lease.protect(Digest(layer.digest) for layer in found.manifest.layers or [])
        taken = _take_layers(how, lease, found, stack)
        if how.with_referrers:
            found, more = _take_referrers(how, lease, found, stack)
            taken |= more
        how.tell("Digest", found.target.digest)
        return _commit(how, lease, found, taken, name)


def _look_up(how: _How, lease: Lease, wanted: str, name: Reference) -> _Found:
    documents: dict[Digest, bytes] = {}
    try:
        target, content = _document(how, lease, wanted, documents)
    except (NotFound, Denied) as e:
        raise _in_words(e, name) from None
    parsed = kinds.parse(content, f"manifest {target.digest}")
    if isinstance(parsed, Index):
        chosen = _chosen(how, lease, parsed, documents)
        if chosen is None:
            raise ImageNotFound(
                f"no matching manifest for {how.platform or platforms.host()} in the manifest list "
                f"entries of {name.familiar}"
            )
        _, content = _document(how, lease, chosen.digest, documents, chosen)
        parsed = kinds.parse(content, f"manifest {chosen.digest}")
    if isinstance(parsed, Index) or not kinds.is_image(parsed):
        kind = parsed.media_type if isinstance(parsed, Index) else parsed.config.media_type
        raise InvalidImage(f"{name.familiar} is no image that can be run: it is of type {kind}")
    config = _config(how, lease, parsed, documents)
    if how.platform and not config.platform.matches(how.platform):
        raise ImageNotFound(
            f"image with reference {name.familiar} was found but does not provide the specified "
            f"platform ({how.platform})"
        )
    return _Found(target, documents, parsed, config)


def _by_head(found: Repository, tag: str) -> Digest | None:
    """Return the digest for which a tag stands; to ask for it costs no share of a limit."""
    try:
        return remote.head(found, tag)
    except RegistryError:
        return None  # who asks for it whole is told why


def _document(
    how: _How,
    lease: Lease,
    wanted: str,
    documents: dict[Digest, bytes],
    descriptor: Descriptor | None = None,
) -> tuple[Descriptor, bytes]:
    """Return a manifest or index with its descriptor, from the store if it is there."""
    if ":" in wanted:
        digest = Digest(wanted)
        lease.protect([digest])
        size = blobs.size(how.store, digest)
        if size is not None and size <= remote.MAX_MANIFEST:
            content = documents[digest] = blobs.read(how.store, digest, remote.MAX_MANIFEST)
            return _described(content, "", digest), content
    fetched = remote.get(how.repository, wanted)
    if descriptor and descriptor.size != len(fetched.content):
        raise InvalidImage(
            f"manifest {wanted} has {len(fetched.content)} bytes instead of {descriptor.size}"
        )
    documents[fetched.digest] = fetched.content
    return _described(fetched.content, fetched.media_type, fetched.digest), fetched.content


def _described(content: bytes, said: str, digest: Digest) -> Descriptor:
    parsed = kinds.parse(content, f"manifest {digest}")
    known = kinds.INDEX_TYPES if isinstance(parsed, Index) else kinds.MANIFEST_TYPES
    usual = kinds.OCI_INDEX if isinstance(parsed, Index) else kinds.OCI_MANIFEST
    media_type = parsed.media_type or (said if said in known else usual)
    if said in (kinds.INDEX_TYPES | kinds.MANIFEST_TYPES) - {media_type}:
        raise InvalidImage(f"manifest {digest} came as {said}, but it is {media_type}")
    return Descriptor(media_type, digest, len(content))


def _chosen(
    how: _How, lease: Lease, index: Index, documents: dict[Digest, bytes]
) -> Descriptor | None:
    """Return the manifest for the platform that is wanted, the best where several are."""
    here = platforms.host()
    fitting: list[Descriptor] = []
    unsaid: list[Descriptor] = []
    for child in _manifests(how, lease, index, documents, _MAX_NESTING):
        if child.platform is None or not child.platform.os:
            unsaid.append(child)
        elif (how.platform and child.platform.matches(how.platform)) or (
            not how.platform and here.runs(child.platform)
        ):
            fitting.append(child)
    if not fitting:
        return unsaid[0] if len(unsaid) == 1 else None
    # Of several arm variants that run here, the latest is the best.
    return max(fitting, key=lambda c: (c.platform and c.platform.normal.variant) or "")


def _manifests(
    how: _How, lease: Lease, index: Index, documents: dict[Digest, bytes], depth: int
) -> Iterator[Descriptor]:
    for child in index.manifests or []:
        if child.media_type in kinds.MANIFEST_TYPES:
            yield child
        elif child.media_type in kinds.INDEX_TYPES and depth:
            _, content = _document(how, lease, child.digest, documents, child)
            inner = kinds.parse(content, f"index {child.digest}")
            if isinstance(inner, Index):
                yield from _manifests(how, lease, inner, documents, depth - 1)


def _config(how: _How, lease: Lease, manifest: Manifest, documents: dict[Digest, bytes]) -> Config:
    digest = manifest.config.id
    lease.protect([digest])
    if blobs.size(how.store, digest) == manifest.config.size:
        content = blobs.read(how.store, digest, MAX_JSON)
    else:
        content = download.small(how.repository, digest, manifest.config.size, MAX_JSON)
    documents[digest] = content
    config = configs.parse(content, f"config {digest}")
    stored = manifest.layers or []
    if len(config.diff_ids) != len(stored):
        raise InvalidImage(
            f"invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, "
            f"got {len(stored)}"
        )
    for layer in stored:
        if kinds.compression_of(layer.media_type) is None:
            raise InvalidImage(
                f"layer {layer.digest} has the unknown type {layer.media_type[:100]}"
            )
    if len({(layer.digest, layer.size) for layer in stored}) > len({x.digest for x in stored}):
        raise InvalidImage("invalid manifest: it gives one layer several sizes")
    return config


def _take_layers(how: _How, lease: Lease, found: _Found, stack: ExitStack) -> dict[Digest, Taken]:
    """Bring the layers that are not here, verified, several at once."""
    wanted = {
        layer.id: (layer, diff_id)
        for layer, diff_id in zip(found.manifest.layers or [], found.config.diff_ids, strict=True)
    }
    missing: list[tuple[Descriptor, Digest]] = []
    for digest, (layer, diff_id) in wanted.items():
        if blobs.size(how.store, digest) != layer.size:
            missing.append((layer, diff_id))
            continue
        known = layers.lookup(how.store, digest)
        _check_diff_id(digest, Digest(known.diff_id) if known else diff_id, diff_id)
    here = [digest for digest in wanted if digest not in {layer.id for layer, _ in missing}]
    # Of an image that is here, docker says so, and nothing of its layers.
    for digest in here if missing else ():
        how.tell(digest.short, "Already exists")
    # The largest first, so that the last ones to be worked on are small.
    missing.sort(key=lambda item: -item[0].size)
    for layer, _ in missing:
        how.tell(layer.id.short, "Pulling fs layer")
    jobs: list[Callable[[], _Layer]] = [bound(_take, how, lease, stack, *item) for item in missing]
    try:
        done = parallel.run(jobs, how.stop, how.at_once)
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    return {each.digest: each.taken for each in done if each.taken}


class _Layer(NamedTuple):
    """A layer that has come, or that somebody else has brought in the meantime."""

    digest: Digest
    taken: Taken | None = None


def _take(
    how: _How, lease: Lease, stack: ExitStack, layer: Descriptor, diff_id: Digest | None
) -> _Layer:
    """Bring a layer, or, without a diff ID, any other blob; `stack` closes its file in the end."""
    digest = layer.id
    try:
        part = partial.begin(lease, digest, layer.size, how.stop)
    except OSError as e:
        raise StoreError(f"cannot write to the store {how.store.root}: {e.strerror}") from None
    if part is None:
        how.tell(digest.short, "Already exists")
        return _Layer(digest)
    stack.callback(part.close)
    taken = _verified(how, lease, layer, part, plain=diff_id is None)
    if diff_id:
        _check_diff_id(digest, taken.diff_id, diff_id)
    part.share()
    how.tell(digest.short, "Pull complete")
    return _Layer(digest, taken)


def _verified(how: _How, lease: Lease, layer: Descriptor, part: Partial, *, plain: bool) -> Taken:
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


def _take_referrers(
    how: _How, lease: Lease, found: _Found, stack: ExitStack
) -> tuple[_Found, dict[Digest, Taken]]:
    """Bring what belongs to an image and its index: signatures, SBOMs, and what signs those."""
    documents = dict(found.documents)
    targets: dict[Digest, Descriptor] = {}
    subjects = [digest for digest in documents if digest != found.manifest.config.id]
    for subject in subjects:
        for listed in referrers.listed(how.repository, subject):
            if listed.id in targets or len(targets) == _MOST_REFERRERS:
                continue
            target, content = _document(how, lease, listed.digest, documents, listed)
            if referrers.subject(content, f"manifest {listed.digest}") != subject:
                raise InvalidImage(f"manifest {listed.digest} does not belong to {subject}")
            targets[target.id] = target
            subjects.append(target.id)
    wanted: dict[Digest, Descriptor] = {}
    for digest in targets:
        parsed = kinds.parse(documents[digest], f"manifest {digest}")
        if isinstance(parsed, Manifest):
            wanted |= {blob.id: blob for blob in (parsed.config, *(parsed.layers or []))}
    lease.protect(wanted)
    jobs: list[Callable[[], _Layer]] = [
        bound(_take, how, lease, stack, blob, None)
        for digest, blob in wanted.items()
        if blobs.size(how.store, digest) != blob.size
    ]
    done = parallel.run(jobs, how.stop, how.at_once)
    taken = {each.digest: each.taken for each in done if each.taken}
    return found._replace(documents=documents, referrers=tuple(targets.values())), taken


def _check_diff_id(digest: Digest, found: Digest | None, wanted: Digest) -> None:
    if found != wanted:
        raise InvalidImage(
            f'invalid diffID for layer {digest}: expected "{wanted}", got "{found or "none"}"'
        )


def _commit(
    how: _How, lease: Lease, found: _Found, taken: dict[Digest, Taken], name: Reference
) -> Pulled:
    """Give what has come its name in the store."""
    store = how.store
    try:
        for digest, layer in taken.items():
            if layer.compression != "none" and layer.diff_id:
                layers.record(lease, digest, layer.diff_id, layer.uncompressed_size)
            partial.adopt(lease, digest)
        for digest, content in found.documents.items():
            blobs.put(lease, content, digest.algorithm)
        blobs.sync(store)
    except OSError as e:
        raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None
    target = msgspec.structs.replace(found.target, annotations={kinds.PULLED_FROM: name.name})
    mark = {kinds.CAME_WITH: target.digest}
    with_it = [msgspec.structs.replace(each, annotations=mark) for each in found.referrers]
    known = False

    def change(before: list[Entry]) -> list[Entry]:
        nonlocal known
        known = any(e.name == name and e.digest == target.digest for e in before)
        return all_kept(all_named(before, {name: target}), with_it)

    update(store, change)
    return Pulled(name, target.id, bool(taken) or not known)


def _in_words(error: NotFound | Denied, name: Reference) -> RegistryError:
    """Say what docker says of an image that cannot be had."""
    if error.code == "DENIED":
        said = str(error).partition('": ')[2]
        return Denied(
            f"pull access denied for {name.familiar_name}, repository does not exist or may "
            f"require 'docker login': {said or error}"
        )
    if isinstance(error, Denied):
        return error
    if error.code == "NAME_UNKNOWN":
        return NotFound(f"repository {name.familiar_name} not found: {error}")
    return NotFound(f"manifest for {name.familiar} not found: {error}")
