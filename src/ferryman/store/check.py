"""Is the store whole?  Every name, manifest, config and layer is looked at, each byte on demand.

A blob without a name is no fault, nor is what a process that died has left: both are told, and go
with the next `collect`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from threading import Event
from typing import NamedTuple

from ferryman import parallel
from ferryman.errors import FerryError, Interrupted, StoreError
from ferryman.image import config as configs
from ferryman.image import manifest as manifests
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.store import below, blobs, collect
from ferryman.store.durable import remove
from ferryman.store.images import read_document, referenced, walk
from ferryman.store.index import Entry, entries, update
from ferryman.store.layout import Store
from ferryman.store.lease import collect_lock, reading
from ferryman.store.lock import locked

_CHUNK = 4 << 20


class Fault(NamedTuple):
    """Something that is wrong: with a blob, or with what a name stands for."""

    what: str
    blob: Digest | None = None
    entry: Entry | None = None


class Report(NamedTuple):
    """What a check found."""

    faults: tuple[Fault, ...]
    verified: int
    """How many blobs were read and hashed."""
    garbage: dict[Digest, int]
    """Blobs that nothing needs, with their sizes in bytes."""
    unfinished: int
    """Files in ``tmp/``, of running operations or of dead ones."""


def check(
    store: Store, *, verify: bool = False, advance: Callable[[int], None] = lambda _: None
) -> Report:
    """Look at the whole store; with `verify`, hash every blob, several at once.

    Raises StoreError when the index itself cannot be read.
    """
    with reading(store):
        listed = entries(store)
        faults = [
            Fault(f"{_name(entry)}: {fault}", entry=entry)
            for entry in listed
            for fault in _faults(store, entry.target)
        ]
        verified = 0
        if verify:
            present = list(blobs.present(store))
            verified = len(present)
            stop = Event()
            jobs = [partial(_verify, store, digest, advance, stop) for digest in present]
            faults += [
                Fault(f"blob {digest}: its content is {actual}", blob=digest)
                for digest, actual in zip(present, parallel.run(jobs, stop), strict=True)
                if digest != actual
            ]
        garbage = {} if faults else collect.garbage(store)
    unfinished = sum(1 for _ in below.files(store.tmp))
    return Report(tuple(faults), verified, garbage, unfinished)


def repair(store: Store, report: Report) -> None:
    """Remove the damaged blobs of a report and the names that stand for nothing whole any more.

    Raises StoreError.
    """
    try:
        with locked(collect_lock(store)):
            for fault in report.faults:
                if fault.blob:
                    remove(store.blob(fault.blob))
                    remove(store.layer_record(fault.blob))
    except OSError as e:
        raise StoreError(f"cannot repair the store {store.root}: {e.strerror}") from None
    with reading(store):
        update(store, lambda before: [e for e in before if not any(_faults(store, e.target))])
    collect.collect(store)


def broken(store: Store, report: Report) -> list[Entry]:
    """Return the entries that `repair` would remove: the faulty, and those with damaged blobs."""
    damaged = {fault.blob for fault in report.faults if fault.blob}
    faulty = {fault.entry.digest for fault in report.faults if fault.entry}
    return [
        entry
        for entry in entries(store)
        if entry.digest in faulty
        or any(blob.digest in damaged for blob in referenced(store, entry.target))
    ]


def _name(entry: Entry) -> str:
    return entry.name.familiar if entry.name else entry.target.digest


def _faults(store: Store, target: Descriptor) -> Iterator[str]:
    found = 0
    try:
        for descriptor, document in walk(store, target):
            yield from _wrong_size(store, descriptor, "manifest")
            if isinstance(document, Manifest):
                found += 1
                yield from _manifest_faults(store, document)
    except FerryError as e:
        yield str(e)
    else:
        if not found:
            yield f"index {target.digest} leads to no manifest that is here"


def _manifest_faults(store: Store, manifest: Manifest) -> Iterator[str]:
    unreadable = list(_wrong_size(store, manifest.config, "config"))
    yield from unreadable
    layers = manifest.layers or []
    for layer in layers:
        yield from _wrong_size(store, layer, "layer")
    if unreadable or not manifests.is_image(manifest):
        return
    if all(manifests.compression_of(layer.media_type) for layer in layers):
        content = read_document(store, manifest.config)
        config = configs.parse(content, f"config {manifest.config.digest}")
        if len(config.diff_ids) != len(layers):
            yield f"config {manifest.config.digest} is for {len(config.diff_ids)} layers"


def _wrong_size(store: Store, descriptor: Descriptor, kind: str) -> Iterator[str]:
    size = blobs.size(store, descriptor.id)
    if size is None:
        yield f"{kind} {descriptor.digest} is missing"
    elif size != descriptor.size:
        yield f"{kind} {descriptor.digest} has {size} bytes instead of {descriptor.size}"


def _verify(store: Store, digest: Digest, advance: Callable[[int], None], stop: Event) -> str:
    running = digest.hasher()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    try:
        with open(store.blob(digest), "rb", buffering=0) as f:
            while n := f.readinto(buffer):
                if stop.is_set():
                    raise Interrupted("interrupted")
                running.update(view[:n])
                advance(n)
    except OSError as e:
        return f"unreadable: {e.strerror}"
    return f"{digest.algorithm}:{running.hexdigest()}"
