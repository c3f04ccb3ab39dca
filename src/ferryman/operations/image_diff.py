"""Image diff: what one image's files have that another's have not, by layer."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ferryman.archive import tar
from ferryman.archive.sparse import Sparse, content
from ferryman.archive.stream import CHUNK
from ferryman.archive.tar import Member
from ferryman.errors import StoreError
from ferryman.operations.layers import opened
from ferryman.rootfs import merged
from ferryman.rootfs.members import Layer
from ferryman.rootfs.merged import File
from ferryman.rootfs.tree import own_xattrs
from ferryman.store.images import Image
from ferryman.store.layout import Store


class Change(NamedTuple):
    """One path that differs: "A" added, "C" changed, "D" removed, as docker diff has it."""

    kind: str
    path: bytes
    layer: str
    """The digest of the layer that has it: of the second image, for "D" of the first."""
    size: int


def image_diff(store: Store, one: str, other: str) -> list[Change]:
    """Return what changes from one image to another, sorted by path.

    A file has changed when its type, mode, owner, link, xattrs, device or content has; a time by
    itself is no change.  Raises ImageNotFound, InvalidArchive, InvalidImage, StoreError.
    """
    with opened(store, one) as (first, first_layers), opened(store, other) as (second, layers):
        old, new = merged.merged(first_layers), merged.merged(layers)

        def change(kind: str, path: bytes) -> Change:
            gone = kind == "D"
            file = old[path] if gone else new[path]
            image, where = (first, first_layers) if gone else (second, layers)
            return Change(kind, path, _digest(image, file), _content(file, where).size)

        changes = [change("A", path) for path in new.keys() - old.keys()]
        changes += [change("D", path) for path in old.keys() - new.keys()]
        changes += [
            change("C", path)
            for path in old.keys() & new.keys()
            if _digest(first, old[path]) != _digest(second, new[path])
            and not _same(old[path], first_layers, new[path], layers)
        ]
    return sorted(changes, key=lambda change: change.path)


def _digest(image: Image, file: File) -> str:
    return image.layers[file.layer].digest


def _same(one: File, one_layers: Sequence[Layer], other: File, layers: Sequence[Layer]) -> bool:
    if _description(one.member) != _description(other.member):
        return False
    if one.member.type not in tar.FILES:
        return True
    left, right = one_layers[one.layer], layers[other.layer]
    first, second = _content(one, one_layers), _content(other, layers)
    if first.size != second.size:
        return False
    if not _within(left, first, right, second):
        return False
    # What is a hole in the one may be anything in the other.
    sparse = sum(piece.size for piece in first.pieces) < first.size
    return not sparse or _within(right, second, left, first)


def _content(file: File, layers: Sequence[Layer]) -> Sparse:
    layer = layers[file.layer]
    return content(layer.fd, file.member, layer.what)


def _description(member: Member) -> tuple[object, ...]:
    return (
        tar.FILE if member.type in tar.FILES else member.type,
        member.mode,
        member.uid,
        member.gid,
        member.link,
        member.device,
        dict(own_xattrs(member)),
    )


def _within(layer: Layer, content: Sparse, other: Layer, others: Sparse) -> bool:
    """Tell whether all pieces of a file are in another at the same places."""
    try:
        for piece in content.pieces:
            for at in range(0, piece.size, CHUNK):
                size = min(CHUNK, piece.size - at)
                mine = os.pread(layer.fd, size, piece.offset + at)
                if mine != others.read(other.fd, piece.at + at, size):
                    return False
    except OSError as e:
        raise StoreError(f"cannot read {layer.what}: {e.strerror}") from None
    return True


def by_layer(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """Return the changes under the layers that they are in."""
    grouped: dict[str, list[Change]] = {}
    for change in changes:
        grouped.setdefault(change.layer, []).append(change)
    return grouped
