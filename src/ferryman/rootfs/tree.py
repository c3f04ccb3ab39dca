"""A layer as the tree that it unpacks to, in overlay form, found out in memory.

Whoever unpacks a layer one member at a time has a file system answer what the names in it lead
to, and a hostile layer asks it cunningly.  Here nothing is on a disk until all members are known:
a later one has replaced an earlier one, links in the paths have been followed (within the layer,
whose root is theirs, as docker follows them), whiteouts have become overlay's marks.  What is left
is plain: each folder with what is in it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ferryman.archive import tar
from ferryman.archive.tar import Member
from ferryman.errors import InvalidImage
from ferryman.rootfs import members, whiteout
from ferryman.rootfs.members import Layer

MAX_NODES = 4_000_000
"""Of a layer, folders that are only implied included: some 2 GB of memory."""
MAX_DEPTH = 4096
"""Folders within each other."""
_MAX_NAME = 255
_MAX_LINK = 4095
_MAX_LINKS = 40  # in one path, as the kernel has it
_MAX_STEPS = 10_000_000  # behind links, in all paths of a layer
_MAX_BYTES = 512 << 20  # of names, links and records in memory
_RECORD = 200  # what a record takes beside its bytes
_MAX_ID = (1 << 32) - 2  # the number above it means "leave it as it is" to chown(2)
_MAX_TIME = ((1 << 63) - 1) * 10**9
XATTR = b"SCHILY.xattr."
"""How the keys of pax records begin that stand for extended attributes."""
_NEEDED = (XATTR, b"GNU.sparse.")
_MAX_XATTR_NAME = 255
_MAX_XATTR_VALUE = 1 << 16


def _made_up(type: bytes, mode: int) -> Member:
    return Member(b"", type, 0, b"", mode, 0, 0, 0, (0, 0), {}, 0)


IMPLIED = _made_up(tar.FOLDER, 0o755)
"""A folder that the layer has something in, but no member for: root's, of the year 1970."""
WHITEOUT = _made_up(tar.CHARACTER, 0)
"""The mark for what is gone: a character device 0:0."""


class Node:
    """What one name of a layer, or several (hard links), stand for."""

    __slots__ = ("children", "hidden", "hides", "links", "member", "opaque")

    def __init__(self, member: Member) -> None:
        """Have no names yet."""
        self.member = member
        self.children: dict[bytes, Node] | None = {} if member.type == tar.FOLDER else None
        """By name, of a folder; None for all else."""
        self.opaque = False
        """Whether nothing of this folder in the layers below is to be seen."""
        self.hides = False
        """Whether there are whiteouts in this folder."""
        self.hidden: set[bytes] | None = None
        self.links = 1
        """How many names it had; some may have been replaced since."""

    @property
    def is_whiteout(self) -> bool:
        """Tell whether it says to overlay that there is nothing of its name."""
        return self.member.type == tar.CHARACTER and self.member.device == (0, 0)

    @property
    def has_xattrs(self) -> bool:
        """Tell whether `xattrs` may have any for it."""
        return bool(self.member.pax) or self.opaque or self.hides


def own_xattrs(member: Member) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and values of the extended attributes that a layer gives a member.

    Those that it has of overlay's are left out: they would have it look elsewhere.
    """
    for key, value in member.pax.items():
        if key.startswith(XATTR):
            name = key.removeprefix(XATTR)
            if not name.startswith(whiteout.OVERLAY_XATTRS):
                yield name, value


def xattrs(node: Node, *, user: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and values of a node's extended attributes, with overlay's own where needed.

    `user` says which attributes overlay uses, see `overlay.user_xattrs`.
    """
    yield from own_xattrs(node.member)
    if node.opaque:
        yield whiteout.opaque_xattr(user=user), b"y"
    if node.hides:
        yield whiteout.origin_xattr(user=user), b""


def tree(layer: Layer, *, plain: bool = False) -> Node:
    """Return the root of a layer's tree, or of a `plain` tar's, whose whiteouts are mere names.

    Raises InvalidArchive, InvalidImage.
    """
    builder = _Builder(layer.what, plain)
    for path, member in members.members(layer):
        builder.add(path, member)
    return builder.finish()


class _Place(NamedTuple):
    """A folder, the path that led to it, and how many are above it."""

    path: bytes
    folder: Node
    depth: int


class _Builder:
    def __init__(self, what: str, plain: bool) -> None:
        self._what = what
        self._plain = plain
        self._root = Node(IMPLIED)
        self._count = 0
        self._steps = 0
        self._bytes = 0
        self._marked: list[Node] = []
        self._dropped: list[tuple[Node, bytes]] = []
        self._last = _Place(b"", self._root, 0)

    def add(self, path: bytes, member: Member) -> None:
        """Put a member, whose path is clean, to its place."""
        if not path:
            if member.type != tar.FOLDER:
                raise InvalidImage(f"{self._what}: its root is not a folder")
            self._root.member = self._checked(member, path)
            return
        above, _, name = path.rpartition(b"/")
        folder = self._folder(above)
        children = _children(folder)
        if member.type == tar.FOLDER and self._last.depth == MAX_DEPTH:
            raise self._too_deep()
        if not self._plain and name.startswith(whiteout.PREFIX):
            if name == whiteout.OPAQUE:
                folder.opaque = True
                return
            if (gone := whiteout.hidden(name)) is not None:
                self._hide(folder, gone, path)
                return
        there = children.get(name)
        if there is not None:
            if member.type == tar.FOLDER and there.children is not None:
                there.member = self._checked(member, path)
                return
            # The way to it may have led through what is replaced.
            self._last = _Place(b"", self._root, 0)
        if member.type == tar.HARDLINK:
            node = self._linked(member, path)
            if node is not there:
                node.links += 1
                self._put(folder, name, node)
            return
        self._put(folder, name, Node(self._checked(member, path)))

    def finish(self) -> Node:
        """Turn whiteouts into marks, and return the root."""
        # Hard links may lead to what AUFS has put somewhere, which is why it goes only now.
        for folder, name in self._dropped:
            _children(folder).pop(name, None)
        for folder in self._marked:
            children = _children(folder)
            for name in folder.hidden or ():
                # In one layer a whiteout is about the layers below, wherever it stands.
                there = children.get(name)
                if there is None:
                    self._put(folder, name, Node(WHITEOUT))
                elif there.children is not None:
                    there.opaque = True
            folder.hidden = None
        return self._root

    def _put(self, folder: Node, name: bytes, node: Node) -> None:
        self._count_in(name)
        _children(folder)[name] = node
        if node.is_whiteout:
            folder.hides = True
        if not self._plain and name.startswith(whiteout.META_PREFIX):
            self._dropped.append((folder, name))

    def _count_in(self, name: bytes) -> None:
        if len(name) > _MAX_NAME:
            raise InvalidImage(f"{self._what}: name of more than 255 bytes: {_shown(name)}")
        self._count += 1
        if self._count > MAX_NODES:
            raise InvalidImage(f"{self._what} has more than {MAX_NODES} files and folders")
        self._bytes += len(name)
        if self._bytes > _MAX_BYTES:
            raise InvalidImage(f"{self._what} has too many names and attributes: {_shown(name)}")

    def _hide(self, folder: Node, gone: bytes, path: bytes) -> None:
        if gone in (b"", b".", b".."):
            raise InvalidImage(f"{self._what}: whiteout of no file: {_shown(path)}")
        if folder.hidden is None:
            folder.hidden = set()
            self._marked.append(folder)
        if gone not in folder.hidden:
            self._count_in(gone)
            folder.hidden.add(gone)

    def _linked(self, member: Member, path: bytes) -> Node:
        """Return what a hard link leads to."""
        target = members.clean(member.link, self._what)
        above, _, name = target.rpartition(b"/")
        node = _children(self._folder(above)).get(name)
        if node is None:
            raise InvalidImage(
                f"{self._what}: hard link {_shown(path)} leads to no file: {_shown(member.link)}"
            )
        if node.children is not None:
            raise InvalidImage(f"{self._what}: hard link {_shown(path)} leads to a folder")
        return node

    def _folder(self, path: bytes) -> Node:
        if path != self._last.path:
            self._last = self._found(path)
        return self._last.folder

    def _found(self, path: bytes) -> _Place:
        """Follow a path to a folder; what is missing on the way is made."""
        trail = [self._root]
        ahead = path.split(b"/")[::-1]
        links = 0
        while ahead:
            name = ahead.pop()
            self._steps += links > 0
            if name in (b"", b"."):
                continue
            if name == b"..":
                if len(trail) > 1:
                    trail.pop()
                continue
            children = _children(trail[-1])
            node = children.get(name)
            if node is None:
                node = Node(IMPLIED)
                self._put(trail[-1], name, node)
            elif node.member.type == tar.SYMLINK:
                links += 1
                if links > _MAX_LINKS or self._steps > _MAX_STEPS:
                    raise InvalidImage(f"{self._what}: too many links on the way to {_shown(path)}")
                target = node.member.link
                if target.startswith(b"/"):
                    del trail[1:]
                ahead += target.split(b"/")[::-1]
                continue
            elif node.children is None:
                raise InvalidImage(
                    f"{self._what}: {_shown(path)} should be a folder, but {_shown(name)} is none"
                )
            trail.append(node)
            if len(trail) > MAX_DEPTH + 1:
                raise self._too_deep()
        return _Place(path, trail[-1], len(trail) - 1)

    def _too_deep(self) -> InvalidImage:
        return InvalidImage(f"{self._what} has more than {MAX_DEPTH} folders in each other")

    def _checked(self, member: Member, path: bytes) -> Member:
        """Return a member that the kernel will take, without what is not needed of it any more."""
        if not (0 <= member.uid <= _MAX_ID and 0 <= member.gid <= _MAX_ID):
            raise InvalidImage(f"{self._what}: impossible owner of {_shown(path)}")
        if member.type == tar.SYMLINK and not 0 < len(member.link) <= _MAX_LINK:
            raise InvalidImage(f"{self._what}: impossible link {_shown(path)}")
        if member.type in (tar.CHARACTER, tar.BLOCK_DEVICE):
            major, minor = member.device
            if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
                raise InvalidImage(f"{self._what}: impossible device {_shown(path)}")
        if abs(member.mtime_ns) > _MAX_TIME:
            raise InvalidImage(f"{self._what}: impossible time of {_shown(path)}")
        if member.pax:
            member = member._replace(pax=self._records(member, path))
        if len(member.name) > _MAX_NAME:
            member = member._replace(name=path[path.rfind(b"/") + 1 :])
        self._bytes += len(member.name) + len(member.link)
        return member

    def _records(self, member: Member, path: bytes) -> dict[bytes, bytes]:
        records = {k: v for k, v in member.pax.items() if k.startswith(_NEEDED)}
        for key, value in records.items():
            if key.startswith(XATTR) and not _possible(key.removeprefix(XATTR), value):
                raise InvalidImage(f"{self._what}: impossible attribute of {_shown(path)}")
            self._bytes += len(key) + len(value) + _RECORD
        return records


def _possible(name: bytes, value: bytes) -> bool:
    return 0 < len(name) <= _MAX_XATTR_NAME and b"\0" not in name and len(value) <= _MAX_XATTR_VALUE


def _children(folder: Node) -> dict[bytes, Node]:
    assert folder.children is not None
    return folder.children


def _shown(path: bytes) -> str:
    return repr(path[:200]).removeprefix("b")
