"""Remove: a name goes, and with the last name the image and the layers that nobody else has."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from ferryman.errors import Conflict
from ferryman.image import config as configs
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.image.reference import Reference
from ferryman.operations import mountable
from ferryman.runtime import record
from ferryman.runtime.finish import settled
from ferryman.runtime.record import Container
from ferryman.store import collect, partial
from ferryman.store.images import Image, all_images, referenced, resolve
from ferryman.store.index import Entry, came_with, entries, nameless, update
from ferryman.store.layout import Store
from ferryman.store.lease import reading


class Removed(NamedTuple):
    """What became of an image: the names that went, and the digests (its ID, and layers)."""

    untagged: tuple[Reference, ...]
    deleted: tuple[Digest, ...]


class Pruned(NamedTuple):
    """The images that went, and the bytes that were freed on disk."""

    images: tuple[Removed, ...]
    layers: Sequence[str]
    """The diff IDs of layers that were mountable and are so no more."""
    freed: int


def remove(store: Store, text: str, *, force: bool = False) -> Removed:
    """Remove a name, or by its ID an image; docker's rules tell which.

    Raises ImageNotFound, Conflict (an ID with several names, unless forced), StoreError.
    """
    with reading(store):
        image, name = resolve(store, text)
        by_id = name is None
        if by_id and len(image.names) > 1 and not force:
            raise Conflict(
                f"conflict: unable to delete {image.id.short} (must be forced) - "
                "image is referenced in multiple repositories"
            )
        user, runs = _user(store, image)
        if user and (runs or not force) and (by_id or (not force and len(image.names) <= 1)):
            raise _in_use(image, name, user, runs=runs)
        targets = _targets(store, image) if by_id else [image.target]
        same = {target.digest for target in targets}
        with_it = [entry.target for entry in entries(store) if came_with(entry) in same]
        needed = {x.id for target in [*targets, *with_it] for x in referenced(store, target)}
    going = image.names if by_id else (name,) if name else ()

    def change(before: list[Entry]) -> list[Entry]:
        if by_id:
            return [entry for entry in before if entry.digest not in same]
        after = [entry for entry in before if entry.name != name]
        # What runs keeps its image, if without a name.
        return nameless(after, image.target) if runs else after

    update(store, change)
    gone = collect.collect(store, needed)
    if gone:
        mountable.prune(store)
    return Removed(_sorted(going), _deleted(image, gone))


def _user(store: Store, image: Image) -> tuple[Container | None, bool]:
    """Return a container that uses an image, one that runs first, and whether it runs."""
    stopped: Container | None = None
    for container in record.every(store):
        if container.image_id != image.id:
            continue
        if settled(store, container).up:
            return container, True
        stopped = stopped or container
    return stopped, False


def _in_use(image: Image, name: Reference | None, user: Container, *, runs: bool) -> Conflict:
    if name is not None:
        return Conflict(
            f'conflict: unable to remove repository reference "{name.familiar}" (must force) - '
            f"container {user.short} is using its referenced image {image.id.short}"
        )
    how = "cannot be forced" if runs else "must be forced"
    kind = "running" if runs else "stopped"
    return Conflict(
        f"conflict: unable to delete {image.id.short} ({how}) - "
        f"image is being used by {kind} container {user.short}"
    )


def _targets(store: Store, image: Image) -> list[Descriptor]:
    """Return all manifests under which an image is here: plain and compressed, perhaps."""
    return [each.target for each in all_images(store) if each.id == image.id]


def _deleted(image: Image, gone: Collection[Digest]) -> tuple[Digest, ...]:
    """Return the image and the layers that went, by chain ID and top first, as docker does."""
    if image.id not in gone:
        return ()
    chain = configs.chain_ids(image.config.diff_ids)
    if len(chain) != len(image.layers):
        return (image.id,)
    layers = [
        chain_id
        for chain_id, layer in zip(chain, image.layers, strict=True)
        if layer.digest in gone
    ]
    return (image.id, *reversed(layers))


def _sorted(names: Iterable[Reference]) -> tuple[Reference, ...]:
    return tuple(sorted(names, key=lambda name: name.canonical))


def prune(store: Store, keep: Callable[[Image], bool]) -> Pruned:
    """Remove all images but those to keep, and every blob that nothing needs.

    An image that a container stands on is kept.  What an old pull has left unfinished goes, too.
    Raises StoreError.
    """
    with reading(store):
        used = {target.id for target in collect.pinned(store)}
        going = [i for i in all_images(store) if i.digest not in used and not keep(i)]
    targets = {image.digest for image in going}
    names = {image.digest: set(image.names) for image in going}

    def change(before: list[Entry]) -> list[Entry]:
        # A name that came in the meantime was not looked at, and stays.
        return [
            entry
            for entry in before
            if entry.digest not in targets
            or (entry.name is not None and entry.name not in names[entry.digest])
        ]

    update(store, change)
    gone = collect.collect(store)
    layers, made = mountable.prune(store)
    unfinished = partial.prune(store)
    # A layer that several of them had goes with the last one.
    deleted: list[tuple[Digest, ...]] = []
    told: set[Digest] = set()
    for image in reversed(going):
        deleted.append(tuple(d for d in _deleted(image, gone) if d not in told))
        told.update(deleted[-1])
    return Pruned(
        tuple(
            Removed(_sorted(image.names), digests)
            for image, digests in zip(going, reversed(deleted), strict=True)
        ),
        layers,
        sum(gone.values()) + made + unfinished,
    )
