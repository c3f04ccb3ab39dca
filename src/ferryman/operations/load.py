"""Load: images out of an archive into the store, all or nothing."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ferryman import parallel
from ferryman.archive import bases, deltas, read
from ferryman.archive.bases import Base
from ferryman.archive.candidate import Candidate, Layer
from ferryman.archive.deltas import Delta
from ferryman.archive.intake import Taken
from ferryman.archive.source import Source
from ferryman.archive.stream import Stream
from ferryman.errors import (
    FerryError,
    ImageNotFound,
    Interrupted,
    InvalidArchive,
    StoreError,
    UsageError,
)
from ferryman.image import manifest as manifests
from ferryman.image import reference
from ferryman.image.decode import encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.operations.progress import Progress, counter, silent
from ferryman.store import blobs, layers
from ferryman.store.collect import working
from ferryman.store.images import Image, all_images, of_target
from ferryman.store.index import Entry, all_kept, all_named, belonging, update
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, reading

_MEDIA_TYPES = {
    "none": manifests.OCI_LAYER,
    "gzip": manifests.OCI_LAYER_GZIP,
    "zstd": manifests.OCI_LAYER_ZSTD,
}


class Loaded(NamedTuple):
    """One image that was loaded, under one name or under none."""

    id: Digest
    name: Reference | None
    renamed: Digest | None = None
    """The ID of the image that had the name before and has none now."""
    kept: bool = False
    """True when the name was in use and was not taken away (``no_clobber``)."""


class Offered(NamedTuple):
    """One image of an archive that has not been loaded."""

    id: Digest
    names: tuple[Reference, ...]
    platforms: tuple[Platform, ...]
    layers: int
    new_layers: int
    size: int
    """The bytes of its layers as they are in the archive."""
    new_size: int
    """The bytes of those that the store does not have."""
    missing: int
    """How many layers are neither in the archive nor in the store."""


def load(
    store: Store,
    given: int | Stream,
    what: str,
    *,
    only: Sequence[str] = (),
    tags: Sequence[str] = (),
    clobber: bool = True,
    platform: Platform | None = None,
    progress: Progress = silent,
) -> list[Loaded]:
    """Load the images of an archive: a file, a pipe or a folder, from where a descriptor stands.

    It may be a stream, too (see `input.opened`), which is read to its end.  `what` names it in
    errors.  `only` are the names or IDs of the images to take, all by default; `tags` replace the
    names that the archive gives.  With `clobber` False a name that stands for another image here
    keeps doing so.  Raises InvalidArchive, StoreError, ImageNotFound, UsageError; then the store is
    as it was.
    """
    names = tuple(_new_name(tag) for tag in tags)
    with working(store) as lease:
        source = _open(given, what, lease, progress)
        candidates = _chosen(read.candidates(source, platform), only, what)
        if names:
            if len(candidates) > 1:
                raise UsageError(
                    f"{what} holds {len(candidates)} images: say which one is to be named "
                    f"{names[0].familiar}"
                )
            candidates = [candidates[0].named(names)]
        taken = _take_layers(store, source, candidates, lease, progress)
        return _commit(store, candidates, taken, lease, clobber)


def _new_name(text: str) -> Reference:
    name = reference.parse(text).tagged()
    if name.digest:
        raise UsageError("refusing to create a tag with a digest reference")
    return name


def offered(
    store: Store,
    given: int | Stream,
    what: str,
    *,
    only: Sequence[str] = (),
    platform: Platform | None = None,
    progress: Progress = silent,
) -> list[Offered]:
    """Tell what is in an archive and how much of it would be new here; nothing is loaded.

    Raises InvalidArchive, StoreError, ImageNotFound.
    """
    source = _open(given, what, None, progress)
    with reading(store):
        candidates = _chosen(read.candidates(source, platform), only, what)
        return [_offer(store, source, candidate) for candidate in candidates]


def _open(given: int | Stream, what: str, lease: Lease | None, progress: Progress) -> Source:
    total = 0

    def know(size: int) -> None:
        nonlocal total
        total = size

    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        progress(what, "Reading archive", done, total)

    return read.source(given, what, lease, advance, know)


def _chosen(found: list[Candidate], only: Sequence[str], what: str) -> list[Candidate]:
    """Return the candidates that were asked for, with only the names that were asked for."""
    if not only:
        return found
    chosen: dict[int, tuple[Reference, ...]] = {}
    for text in only:
        hits = [
            (i, names) for i, c in enumerate(found) if (names := _matching(c, text)) is not None
        ]
        if not hits:
            raise ImageNotFound(f"{what}: no such image in the archive: {text}")
        for i, names in hits:
            chosen[i] = tuple(dict.fromkeys(chosen.get(i, ()) + names))
    return [found[i].named(names) for i, names in sorted(chosen.items())]


def _matching(candidate: Candidate, text: str) -> tuple[Reference, ...] | None:
    """Return the names by which a text means a candidate, or None; all names if it is its ID."""
    bare = text.removeprefix("sha256:")
    ids = [part.config_digest.encoded for part in candidate.parts]
    if candidate.target:
        ids.append(candidate.target.digest.partition(":")[2])
    if len(bare) >= 4 and any(each.startswith(bare) for each in ids):
        return candidate.names
    if text == candidate.label:
        return candidate.names
    wanted = reference.parse(text)
    names = tuple(
        name
        for name in candidate.names
        if name.name == wanted.name and (wanted.tag is None or wanted.tag == name.tag)
    )
    return names or None


def _all(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield the candidates, each with what belongs to it."""
    for candidate in candidates:
        yield candidate
        yield from candidate.companions


def _layers(candidates: Sequence[Candidate]) -> list[Layer]:
    return [layer for c in _all(candidates) for part in c.parts for layer in part.layers]


def _key(layer: Layer) -> Digest:
    """Return what two mentions of one layer have in common: its digest, else its diff ID."""
    if layer.descriptor:
        return layer.descriptor.id
    assert layer.diff_id is not None
    return layer.diff_id


def _here(store: Store, layer: Layer) -> tuple[Digest, int] | None:
    """Return digest and size of the blob that the store has of a layer already."""
    if layer.descriptor:
        here = blobs.size(store, layer.descriptor.id) == layer.descriptor.size
        return (layer.descriptor.id, layer.descriptor.size) if here else None
    assert layer.diff_id is not None
    digest = layers.holding(store, layer.diff_id)
    size = blobs.size(store, digest) if digest else None
    return (digest, size) if digest and size is not None else None


class _Known(NamedTuple):
    """A layer of which the store has, or will have, the blob."""

    digest: Digest
    size: int
    compression: str
    taken: Taken | None = None


def _take_layers(
    store: Store,
    source: Source,
    candidates: Sequence[Candidate],
    lease: Lease,
    progress: Progress,
) -> dict[Digest, _Known]:
    """Bring every layer that is not here into the lease's folder, verified."""
    wanted = {_key(layer): layer for layer in _layers(candidates)}
    lease.protect(wanted)
    known: dict[Digest, _Known] = {}
    missing: dict[Digest, Layer] = {}
    for key, layer in wanted.items():
        with reading(store):
            if here := _here(store, layer):
                lease.protect([here[0]])
                known[key] = _Known(*here, _compression(store, here[0]))
            else:
                missing[key] = layer
    made_of = deltas.of(source) if any(layer.part is None for layer in missing.values()) else {}
    lacking = {key: layer for key, layer in missing.items() if layer.part is None}
    for key in lacking:
        if key not in made_of or not _all_here(store, made_of[key]):
            raise InvalidArchive(
                f"{source.what}: layer {key} is missing: neither the archive nor the store has it"
                + _advice(bases.of(source))
            )
    stop = threading.Event()
    # The largest first, so that the last ones to be worked on are small.
    order = sorted(
        (item for item in missing.items() if item[1].part is not None),
        key=lambda item: -source.size(item[1].part or ""),
    )
    jobs: list[Callable[[], Taken]] = [
        partial(take, source, layer, lease, progress, stop) for _, layer in order
    ]
    for (key, _), taken in zip(order, parallel.run(jobs, stop), strict=True):
        known[key] = _Known(taken.digest, taken.size, taken.compression, taken)
    for key, layer in lacking.items():
        from ferryman.operations.deltas import undone  # deltas are rare, and slow to import

        assert layer.descriptor is not None
        taken = undone(store, source, made_of[key], layer.descriptor.size, lease, progress)
        _verify(source, layer, taken)
        known[key] = _Known(taken.digest, taken.size, taken.compression, taken)
    return known


def _all_here(store: Store, delta: Delta) -> bool:
    with reading(store):
        return all(layers.holding(store, base) is not None for base in delta.bases)


def _advice(needed: Sequence[Base]) -> str:
    if not needed:
        return ""
    return f"; it holds only what is missing on top of {bases.listed(needed)}: load that first"


def _compression(store: Store, digest: Digest) -> str:
    """Return how a blob that is a layer of the store is compressed."""
    from ferryman.archive import compression

    with open(blobs.open_blob(store, digest), "rb") as f:
        return compression.of_file(f.fileno())


def take(
    source: Source, layer: Layer, lease: Lease | None, progress: Progress, stop: threading.Event
) -> Taken:
    """Take a layer that is in an archive to the lease, if there is one, and verify it.

    Raises InvalidArchive, StoreError, and Interrupted once `stop` is set.
    """
    assert layer.part is not None
    label = (layer.diff_id or _key(layer)).short
    count = counter(progress, label, "Loading layer", source.size(layer.part))

    def advance(n: int) -> None:
        if stop.is_set():
            raise Interrupted("interrupted")
        count(n)

    algorithm = layer.descriptor.id.algorithm if layer.descriptor else "sha256"
    if layer.diff_id is None:
        taken = source.blob(layer.part, lease, algorithm, advance)
    else:
        taken = source.layer(layer.part, lease, algorithm, advance)
    _verify(source, layer, taken)
    return taken


def _verify(source: Source, layer: Layer, taken: Taken) -> None:
    if layer.descriptor and (taken.digest, taken.size) != (
        layer.descriptor.digest,
        layer.descriptor.size,
    ):
        raise InvalidArchive(
            f"{source.what}: blob {layer.descriptor.digest} is damaged: "
            f"its digest is {taken.digest}, its size {taken.size}"
        )
    # A plain layer's diff ID is its digest, even where its digest is not sha256.
    if layer.diff_id and taken.diff_id != layer.diff_id:
        raise InvalidArchive(
            f"{source.what}: invalid diffID for layer {layer.part}: "
            f'expected "{layer.diff_id}", got "{taken.diff_id}"'
        )


def _commit(
    store: Store,
    candidates: Sequence[Candidate],
    known: dict[Digest, _Known],
    lease: Lease,
    clobber: bool,
) -> list[Loaded]:
    """Give the verified blobs their names, then the images theirs."""
    lease.protect(layer.digest for layer in known.values())
    lease.protect(digest for c in _all(candidates) for digest in c.documents)
    try:
        # One file may have been a part under two digests' algorithms; it is adopted once.
        for layer in {k.digest: k for k in known.values() if k.taken}.values():
            assert layer.taken is not None
            # Whoever finds the blob, here by now for others too, is to find what is known of it.
            if layer.compression != "none" and layer.taken.diff_id:
                layers.record(
                    lease, layer.digest, layer.taken.diff_id, layer.taken.uncompressed_size
                )
            if blobs.size(store, layer.digest) != layer.size:
                blobs.adopt(lease, layer.taken.path, layer.digest)
        targets = []
        here: dict[Digest, Image] = {}
        if any(candidate.target is None for candidate in candidates):
            with reading(store):
                here = _by_config(store)
        for each in _all(candidates):
            for digest, content in each.documents.items():
                blobs.put(lease, content, digest.algorithm)
        for candidate in candidates:
            targets.append(candidate.target or _target(candidate, known, here, lease))
        blobs.sync(store)
    except OSError as e:
        raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None
    with_them = [
        belonging(each.target, target)
        for candidate, target in zip(candidates, targets, strict=True)
        for each in candidate.companions
        if each.target
    ]
    loaded: list[Loaded] = []

    def change(before: list[Entry]) -> list[Entry]:
        standing = {entry.name: entry for entry in before if entry.name}
        names: dict[Reference, Descriptor] = {}
        loaded.clear()
        for candidate, target in zip(candidates, targets, strict=True):
            image_id = candidate.image_id
            if not candidate.names:
                loaded.append(Loaded(image_id, None))
            for name in candidate.names:
                old = standing.get(name)
                if old and not clobber and old.digest != target.digest:
                    loaded.append(Loaded(image_id, name, kept=True))
                    continue
                names[name] = target
                old_id = _id(store, old) if old and old.digest != target.digest else None
                loaded.append(Loaded(image_id, name, old_id if old_id != image_id else None))
        return all_kept(all_named(before, names), [*targets, *with_them])

    update(store, change)
    return loaded


def _id(store: Store, entry: Entry) -> Digest:
    try:
        with reading(store):
            return of_target(store, entry.target).id
    except FerryError:
        # It is damaged, and about to lose its name: what it points to will do to tell of it.
        return entry.digest


def _by_config(store: Store) -> dict[Digest, Image]:
    """Return the images here that stand for one platform alone, by their IDs."""
    return {
        image.id: image
        for image in all_images(store)
        if image.target.media_type in manifests.MANIFEST_TYPES
    }


def _target(
    candidate: Candidate, known: dict[Digest, _Known], here: dict[Digest, Image], lease: Lease
) -> Descriptor:
    """Return the manifest of a docker-archive's image: the one it has here, or a new one."""
    part = candidate.parts[0]
    if image := here.get(part.config_digest):
        needed = (image.target, image.manifest.config, *image.layers)
        lease.protect(blob.id for blob in needed)
        if all(blobs.size(lease.store, blob.id) == blob.size for blob in needed):
            return image.target
    manifest = Manifest(
        schema_version=2,
        media_type=manifests.OCI_MANIFEST,
        config=Descriptor(
            manifests.OCI_CONFIG, part.config_digest, len(candidate.documents[part.config_digest])
        ),
        layers=[
            Descriptor(_MEDIA_TYPES[layer.compression], layer.digest, layer.size)
            for layer in (known[_key(each)] for each in part.layers)
        ],
    )
    content = encode(manifest)
    return Descriptor(manifests.OCI_MANIFEST, blobs.put(lease, content), len(content))


def _offer(store: Store, source: Source, candidate: Candidate) -> Offered:
    wanted = {_key(layer): layer for part in candidate.parts for layer in part.layers}
    sizes = {
        key: source.size(layer.part)
        if layer.part is not None
        else (layer.descriptor.size if layer.descriptor else 0)
        for key, layer in wanted.items()
    }
    new = {key for key, layer in wanted.items() if not _here(store, layer)}
    made_of = deltas.of(source)
    return Offered(
        id=candidate.image_id,
        names=candidate.names,
        platforms=tuple(part.config.platform for part in candidate.parts),
        layers=len(candidate.parts[0].layers),
        new_layers=len(new),
        size=sum(sizes.values()),
        new_size=sum(sizes[key] for key in new),
        missing=sum(
            wanted[key].part is None and not (key in made_of and _all_here(store, made_of[key]))
            for key in new
        ),
    )
