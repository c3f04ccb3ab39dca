"""A layer's tree as it was read before, with the headers that an export writes: not read again.

::

    layers/<id>/headers    a SHA-256 of what follows, and that in MessagePack: see `_Row`

It is made by the first export of a layer, and says nothing that the layer's tar does not: where it
is missing, damaged or of another version it is made anew.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import msgspec

from ferryman.archive import tar
from ferryman.archive.sparse import sparse
from ferryman.archive.tar import Member
from ferryman.rootfs import tree
from ferryman.rootfs.members import Layer
from ferryman.rootfs.pack import kept_xattr
from ferryman.rootfs.tree import XATTR, Node, own_xattrs
from ferryman.store import durable

_NAME = "headers"
_VERSION = 1
_DIGEST = 32  # bytes
_MOST = 100_000
"""Names: more would take more memory than reading them anew takes time."""


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A name: how deep it lies, and what it stands for; or which earlier row it stands for too."""

    depth: int
    name: bytes
    same: int = -1
    type: bytes = tar.FILE
    size: int = 0
    link: bytes = b""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    device: tuple[int, int] = (0, 0)
    offset: int = 0
    opaque: bool = False
    pax: dict[bytes, bytes] = {}
    header: bytes = b""


class _Kept(msgspec.Struct, array_like=True, gc=False):
    version: int
    rows: list[_Row]


class Recalled(Node):
    """A node with the header that an export writes for it, as long as this is its first path."""

    __slots__ = ("header", "path")

    def __init__(self, member: Member, path: bytes, header: bytes) -> None:
        """Have no names yet."""
        super().__init__(member)
        self.path = path
        self.header = header


def recalled(folder: str, layer: Layer) -> Node:
    """Return the root of a layer's tree; `folder` is where what is made of the layer lies.

    Raises InvalidArchive, InvalidImage.
    """
    path = f"{folder}/{_NAME}"
    if (rows := _read(path)) is not None:
        return _built(rows)
    top = tree.tree(layer)
    rows = list(islice(_rows(layer, top), _MOST + 1))
    if len(rows) <= _MOST:
        with suppress(OSError):  # it does without
            _write(path, rows)
    return top


def _read(path: str) -> list[_Row] | None:
    try:
        with open(path, "rb") as f:
            content = f.read()
    except OSError:
        return None
    if hashlib.sha256(memoryview(content)[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    try:
        kept = msgspec.msgpack.decode(memoryview(content)[_DIGEST:], type=_Kept)
    except msgspec.DecodeError:
        return None
    return kept.rows if kept.version == _VERSION else None


def _write(path: str, rows: list[_Row]) -> None:
    content = msgspec.msgpack.encode(_Kept(_VERSION, rows))
    os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
    whole = hashlib.sha256(content).digest() + content
    durable.replace(path, whole, aside=f"{path}.{os.getpid()}", at_once=False)


def _rows(layer: Layer, top: Node) -> Iterator[_Row]:
    first: dict[Node, int] = {}
    pending = [(0, b"", b"", top)]
    while pending:
        depth, name, path, node = pending.pop()
        if (same := first.get(node)) is not None:
            yield _Row(depth, name, same)
            continue
        first[node] = len(first)
        member = node.member
        yield _Row(
            *(depth, name, -1, member.type, member.size, member.link, member.mode),
            *(member.uid, member.gid, member.mtime_ns, member.device, member.offset),
            *(node.opaque, member.pax, _header(layer, path, member)),
        )
        start = path + b"/" if path else b""
        below = node.children or {}
        pending += [(depth + 1, each, start + each, below[each]) for each in reversed(below)]


def _header(layer: Layer, path: bytes, member: Member) -> bytes:
    """Return what an export writes in front of a member; nothing where that depends on more."""
    if not path or (member.type in tar.FILES and sparse(layer.fd, member, layer.what)):
        return b""
    pax = {XATTR + key: value for key, value in own_xattrs(member) if kept_xattr(key)}
    name = path + b"/" if member.type == tar.FOLDER else path
    size = member.size if member.type in tar.FILES else 0
    kind = tar.FILE if member.type in tar.FILES else member.type
    link = b"" if member.type in tar.FILES else member.link
    return tar.header(member._replace(name=name, type=kind, pax=pax, size=size, link=link))


def _built(rows: list[_Row]) -> Node:
    nodes: list[Recalled] = []
    above: list[tuple[bytes, Node]] = []
    for row in rows:
        depth = row.depth
        del above[depth:]
        prefix = above[-1][0] if above else b""
        path = prefix + row.name
        if row.same >= 0:
            node = nodes[row.same]
            node.links += 1
        else:
            member = Member(
                *(b"", row.type, row.size, row.link, row.mode, row.uid, row.gid),
                *(row.mtime_ns, row.device, row.pax, row.offset),
            )
            if not nodes and member == tree.IMPLIED:
                member = tree.IMPLIED  # which is known by what it is, not by what it says
            node = Recalled(member, path, row.header)
            node.opaque = row.opaque
            nodes.append(node)
        if above:
            children = above[-1][1].children
            assert children is not None
            children[row.name] = node
        above.append((path + b"/" if path else b"", node))
    return nodes[0]
