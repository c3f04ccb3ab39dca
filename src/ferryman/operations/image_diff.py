"""Image diff: what one image's files have that another's have not, by layer."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ferryman.archive import tar
from ferryman.archive.stream import CHUNK, FileStream
from ferryman.archive.tar import Member
from ferryman.operations.layers import opened
from ferryman.rootfs import merged
from ferryman.rootfs.merged import File, Layer
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
        changes = [
            Change("A", path, _digest(second, file), file.member.size)
            for path, file in new.items()
            if path not in old
        ]
        changes += [
            Change("D", path, _digest(first, file), file.member.size)
            for path, file in old.items()
            if path not in new
        ]
        for path in old.keys() & new.keys():
            if _digest(first, old[path]) == _digest(second, new[path]):
                continue
            if not _same(old[path], first_layers, new[path], layers):
                file = new[path]
                changes.append(Change("C", path, _digest(second, file), file.member.size))
    return sorted(changes, key=lambda change: change.path)


def _digest(image: Image, file: File) -> str:
    return image.layers[file.layer].digest


def _same(one: File, one_layers: Sequence[Layer], other: File, layers: Sequence[Layer]) -> bool:
    left, right = one.member, other.member
    if _description(left) != _description(right):
        return False
    if left.type != tar.FILE:
        return True
    return _content(one_layers[one.layer], left) == _content(layers[other.layer], right)


def _description(member: Member) -> tuple[object, ...]:
    xattrs = {k: v for k, v in member.pax.items() if k.startswith(b"SCHILY.xattr.")}
    return (
        member.type,
        member.mode,
        member.uid,
        member.gid,
        member.size,
        member.link.strip(b"/") if member.type == tar.HARDLINK else member.link,
        member.device,
        xattrs,
    )


def _content(layer: Layer, member: Member) -> bytes:
    running = hashlib.sha256()
    stream = FileStream(layer.fd, member.offset, member.size, layer.what)
    while piece := stream.read(min(CHUNK, member.size - stream.tell())):
        running.update(piece)
    return running.digest()


def by_layer(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """Return the changes under the layers that they are in."""
    grouped: dict[str, list[Change]] = {}
    for change in changes:
        grouped.setdefault(change.layer, []).append(change)
    return grouped
