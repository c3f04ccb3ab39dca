"""Pull: an image out of a registry into the store, all or nothing, no byte twice."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial as bound
from typing import NamedTuple

import msgspec

from ferryman import parallel
from ferryman.archive.intake import Taken
from ferryman.errors import (
    Interrupted,
    InvalidImage,
    RegistryError,
    StoreError,
)
from ferryman.image import manifest as kinds
from ferryman.image import reference, referrer
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations import fetch, offered
from ferryman.operations.fetch import Fetched, Pulling
from ferryman.operations.offered import Found
from ferryman.operations.progress import Progress, Tell, silent, untold
from ferryman.registry import hosts as settings
from ferryman.registry import referrers, repository
from ferryman.registry.failure import Denied, NotFound, Unreachable
from ferryman.registry.repository import Repository
from ferryman.store import blobs, layers, partial
from ferryman.store.collect import working
from ferryman.store.index import Entry, all_kept, all_named, belonging, entries, update
from ferryman.store.layout import Store
from ferryman.store.lease import Lease

_MOST_REFERRERS = 1000


class Pulled(NamedTuple):
    """An image that is here now."""

    name: Reference
    digest: Digest
    """Of the manifest or index that the name stands for."""
    newer: bool
    """False when all of it was here before, under this name."""


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
    else belongs to it.  Mirrors are asked first.  What an interrupted pull has brought of a layer
    is gone on with.  Raises ImageNotFound (not for this platform), RegistryError, InvalidImage,
    InvalidArchive, StoreError, Interrupted, and what is wrong with the user's files.
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
                how = Pulling(
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


def _tags(found: Repository, name: Reference) -> list[Reference]:
    try:
        tags = repository.tags(found)
    except (NotFound, Denied) as e:
        raise offered.in_words(e, name) from None
    return [name._replace(tag=tag, digest=None) for tag in tags if reference.is_tag(tag)]


def _pulled(how: Pulling, name: Reference) -> Pulled:
    """Pull one image."""
    # Of a name with both, docker heeds the digest.
    name = name._replace(tag=None) if name.digest else name.tagged()
    wanted = str(name.digest or name.tag)
    how.tell(wanted, f"Pulling from {name.path}")
    with working(how.store) as lease, ExitStack() as stack:
        digest = name.digest or offered.by_head(how.repository, wanted)
        if digest and not how.platform and _is_pushed(how.store, name, digest):
            how.tell("Digest", digest)
            return Pulled(name, digest, False)
        found = offered.look_up(how, lease, digest or wanted, name)
        lease.protect(Digest(layer.digest) for layer in found.manifest.layers or [])
        taken = _take_layers(how, lease, found, stack)
        if how.with_referrers:
            found, more = _take_referrers(how, lease, found, stack)
            taken |= more
        how.tell("Digest", found.target.digest)
        return _commit(how, lease, found, taken, name)


def _is_pushed(store: Store, name: Reference, digest: Digest) -> bool:
    """Tell whether what is there is what was pushed from here, and only compressed on the way."""
    return any(e.name == name and e.pushed_as == digest for e in entries(store))


def _take_layers(how: Pulling, lease: Lease, found: Found, stack: ExitStack) -> dict[Digest, Taken]:
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
        fetch.check_diff_id(digest, Digest(known.diff_id) if known else diff_id, diff_id)
    here = [digest for digest in wanted if digest not in {layer.id for layer, _ in missing}]
    # Of an image that is here, docker says so, and nothing of its layers.
    for digest in here if missing else ():
        how.tell(digest.short, "Already exists")
    # The largest first, so that the last ones to be worked on are small.
    missing.sort(key=lambda item: -item[0].size)
    for layer, _ in missing:
        how.tell(layer.id.short, "Pulling fs layer")
    jobs: list[Callable[[], Fetched]] = [
        bound(fetch.blob, how, lease, stack, *item) for item in missing
    ]
    try:
        done = parallel.run(jobs, how.stop, how.at_once)
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    return {each.digest: each.taken for each in done if each.taken}


def _take_referrers(
    how: Pulling, lease: Lease, found: Found, stack: ExitStack
) -> tuple[Found, dict[Digest, Taken]]:
    """Bring what belongs to an image and its index: signatures, SBOMs, and what signs those."""
    documents = dict(found.documents)
    targets: dict[Digest, Descriptor] = {}
    subjects = [digest for digest in documents if digest != found.manifest.config.id]
    for subject in list(subjects):
        for tag in referrer.cosign_tags(subject):
            with suppress(NotFound):
                target, _ = offered.document(how, lease, tag, documents)
                targets[target.id] = msgspec.structs.replace(
                    target, annotations={kinds.TAGGED: tag}
                )
    for subject in subjects:
        for listed in referrers.listed(how.repository, subject):
            if listed.id in targets or len(targets) == _MOST_REFERRERS:
                continue
            target, content = offered.document(how, lease, listed.digest, documents, listed)
            if referrer.subject(content, f"manifest {listed.digest}") != subject:
                raise InvalidImage(f"manifest {listed.digest} does not belong to {subject}")
            targets[target.id] = target
            subjects.append(target.id)
    wanted: dict[Digest, Descriptor] = {}
    for digest in targets:
        parsed = kinds.parse(documents[digest], f"manifest {digest}")
        if isinstance(parsed, Manifest):
            wanted |= {blob.id: blob for blob in (parsed.config, *(parsed.layers or []))}
    lease.protect(wanted)
    jobs: list[Callable[[], Fetched]] = [
        bound(fetch.blob, how, lease, stack, blob, None)
        for digest, blob in wanted.items()
        if blobs.size(how.store, digest) != blob.size
    ]
    done = parallel.run(jobs, how.stop, how.at_once)
    taken = {each.digest: each.taken for each in done if each.taken}
    return found._replace(documents=documents, referrers=tuple(targets.values())), taken


def _commit(
    how: Pulling, lease: Lease, found: Found, taken: dict[Digest, Taken], name: Reference
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
    with_it = [belonging(each, target) for each in found.referrers]
    known = False

    def change(before: list[Entry]) -> list[Entry]:
        nonlocal known
        known = any(e.name == name and e.digest == target.digest for e in before)
        return all_kept(all_named(before, {name: target}), with_it)

    update(store, change)
    return Pulled(name, target.id, bool(taken) or not known)
