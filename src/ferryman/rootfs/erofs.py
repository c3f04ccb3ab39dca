"""An EROFS image of a layer's metadata, by which the kernel mounts the layer's tar where it lies.

The image has the folders, names, owners, times and attributes; the content of its files stays in
the tar, which is mounted along with it as its *device* (Documentation/filesystems/erofs.rst in the
kernel).  Blocks are those of a tar, 512 bytes, which Linux 6.4 and later take::

    byte 1024   superblock
         1152   device table: the tar, its blocks addressed from 2^31 on
         1536   inodes: all folders', the root's first, then the others'
                blocks of folders: their names, sorted, and the number of each name's inode

An inode has 64 bytes, behind which its extended attributes and the target of a symbolic link
follow; its number is where it begins, in units of 32 bytes.  The same layer gives the same image.
"""

import hashlib
import os
import struct

from ferryman.archive import tar
from ferryman.archive.sparse import Sparse, sparse
from ferryman.rootfs import posix_acl, tree
from ferryman.rootfs.erofs_head import BLOCK, DEVICE_AT, SIZE, SLOT, head
from ferryman.rootfs.members import Layer
from ferryman.rootfs.tree import Node

_NOWHERE = (1 << 32) - 1
_MAX_CHUNKS = 1 << 22

_INODE = struct.Struct("<HHHHQIIIIqII16x")
_SIZE_AND_PLACE = struct.Struct("<QI")  # at byte 8 of an inode
_LINKS = struct.Struct("<I")  # at byte 44
_DIRENT = struct.Struct("<QHBx")

# What an inode begins with: that it is one of 64 bytes, and how its content lies.
_PLAIN = 0 << 1 | 1
_INLINE = 2 << 1 | 1
_CHUNKS = 4 << 1 | 1

_FOLDER_KIND = 2
_KINDS = {
    tar.FILE: (0o100000, 1),
    tar.SPARSE: (0o100000, 1),
    tar.FOLDER: (0o040000, _FOLDER_KIND),
    tar.CHARACTER: (0o020000, 3),
    tar.BLOCK_DEVICE: (0o060000, 4),
    tar.FIFO: (0o010000, 5),
    tar.SYMLINK: (0o120000, 7),
}
"""The type bits of the mode, and the kind in a folder's entry."""

_PREFIXES = ((b"user.", 1), (b"trusted.", 4), (b"security.", 6))
_ACLS = {posix_acl.ACCESS: 2, posix_acl.DEFAULT: 3}
_CAPABILITY = b"security.capability"
_CAPABILITY_FORMS = {20: 0x02000000, 24: 0x03000000}
"""Versions 2 and 3 of a file's capabilities (capabilities(7)), by their sizes in bytes."""
_MAX_XATTR_VALUE = (1 << 16) - 1
_XATTRS_HEAD = bytes(12)
_MAX_XATTRS = len(_XATTRS_HEAD) + 4 * ((1 << 16) - 2)


class NotMountable(Exception):
    """A layer that can be unpacked, but not be mounted where it lies."""


def write_index(layer: Layer, out_fd: int) -> None:
    """Write the image of a layer, whose blocks are the bytes of the layer's tar, to a file.

    Raises InvalidArchive, InvalidImage, NotMountable, OSError.
    """
    index = _Index(layer)
    index.add(tree.tree(layer))
    for part in index.parts():
        with memoryview(part) as left:
            at = 0
            while at < len(left):
                at += os.write(out_fd, left[at:])


class _Index:
    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._inodes = bytearray()
        self._blocks = bytearray()
        self._numbers: dict[Node, int] = {}  # of folders, and of what may have several names
        self._count = 0
        self._chunks = 0
        self._tar_blocks = -(-layer.size // BLOCK)
        if self._tar_blocks >= DEVICE_AT:
            raise NotMountable("larger than 1 TiB")

    def add(self, root: Node) -> None:
        """Put a whole tree to the image."""
        self._numbers[root] = self._inode(root)
        folders = [(root, self._numbers[root])]
        for folder, number in folders:
            for node in _children(folder).values():
                if node.children is not None:
                    self._numbers[node] = self._inode(node)
                    folders.append((node, number))
        places = [self._add_folder(folder, above) for folder, above in folders]
        self._align()
        first = (SIZE + len(self._inodes)) // BLOCK
        for (folder, _), (place, size, links) in zip(folders, places, strict=True):
            at = self._numbers[folder] * SLOT - SIZE
            _SIZE_AND_PLACE.pack_into(self._inodes, at + 8, size, first + place)
            _LINKS.pack_into(self._inodes, at + 44, links)

    def parts(self) -> tuple[bytes, bytearray, bytearray]:
        """Return the image, in parts to be written one after the other."""
        # Whoever mounts the image reads it by pages.
        self._blocks += bytes(-(SIZE + len(self._inodes) + len(self._blocks)) % 4096)
        identity = hashlib.sha256(self._inodes)
        identity.update(self._blocks)
        blocks = (SIZE + len(self._inodes) + len(self._blocks)) // BLOCK
        begin = head(self._count, blocks, self._tar_blocks, identity.digest()[:16])
        return begin, self._inodes, self._blocks

    def _add_folder(self, folder: Node, above: int) -> tuple[int, int, int]:
        """Write what is in a folder; return its first block, its size in bytes and its links."""
        entries = [(b".", self._numbers[folder], _FOLDER_KIND), (b"..", above, _FOLDER_KIND)]
        links = 2
        for name, node in _children(folder).items():
            if node.children is not None:
                links += 1
                entries.append((name, self._numbers[node], _FOLDER_KIND))
            else:
                entries.append((name, self._number(node), _KINDS[node.member.type][1]))
        entries.sort()
        blocks = self._blocks
        blocks += bytes(-len(blocks) % BLOCK)
        begin = len(blocks)
        first, room = 0, BLOCK
        for n, (name, _, _) in enumerate(entries):
            room -= _DIRENT.size + len(name)
            if room < 0:
                blocks += _names(entries[first:n]).ljust(BLOCK, b"\0")
                first, room = n, BLOCK - _DIRENT.size - len(name)
        blocks += _names(entries[first:])
        return begin // BLOCK, len(blocks) - begin, links

    def _number(self, node: Node) -> int:
        """Return the number of anything but a folder, written now unless it has been before."""
        if node.links == 1:
            return self._inode(node)
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = self._inode(node)
        else:
            at = number * SLOT - SIZE + 44
            (links,) = _LINKS.unpack_from(self._inodes, at)
            _LINKS.pack_into(self._inodes, at, links + 1)
        return number

    def _inode(self, node: Node) -> int:
        """Write an inode and return its number; a folder's has not got its place yet."""
        member = node.member
        size = place = 0
        mode = _KINDS[member.type][0] | member.mode
        layout = _PLAIN
        behind = b""
        if node.has_xattrs:
            behind = _xattrs(node)
        count = (len(behind) - len(_XATTRS_HEAD)) // 4 + 1 if behind else 0
        if member.type in tar.FILES:
            holes = sparse(self._layer.fd, member, self._layer.what) if member.pax else None
            size, place = member.size, DEVICE_AT + member.offset // BLOCK
            if holes is not None:
                size, layout = holes.size, _CHUNKS
                place, chunks = self._chunked(holes)
                behind += chunks
        elif member.type == tar.SYMLINK:
            size, mode = len(member.link), 0o120777  # whatever the layer says, as on any filesystem
            if _INODE.size + len(behind) + size <= BLOCK:
                layout = _INLINE
                behind += member.link
                # The kernel wants it in one block with its inode.
                if len(self._inodes) % BLOCK + _INODE.size + len(behind) > BLOCK:
                    self._align()
            else:
                self._align()
                place = (SIZE + len(self._inodes)) // BLOCK
                self._inodes += member.link
                self._align()
        elif member.type != tar.FOLDER:
            major, minor = member.device
            place = minor & 0xFF | major << 8 | (minor & ~0xFF) << 12
        seconds, nanoseconds = divmod(member.mtime_ns, 10**9)
        number = (SIZE + len(self._inodes)) // SLOT
        self._inodes += _INODE.pack(
            layout,
            count,
            mode,
            0,
            size,
            place,
            number & 0xFFFFFFFF,
            member.uid,
            member.gid,
            seconds,
            nanoseconds,
            1,
        )
        if behind:
            self._inodes += behind
            self._inodes += bytes(-len(self._inodes) % SLOT)
        self._count += 1
        return number

    def _align(self) -> None:
        self._inodes += bytes(-len(self._inodes) % BLOCK)

    def _chunked(self, holes: Sparse) -> tuple[int, bytes]:
        """Return the format of a sparse file's map, and the map: where each of its chunks lies."""
        bits = 21  # 1 GiB
        for at, size, offset in holes.pieces:
            if offset % BLOCK:
                raise NotMountable("sparse file whose pieces are no whole blocks")
            ends = at if at + size == holes.size else at | size
            while ends % (BLOCK << bits):
                bits -= 1
                if bits < 0:
                    raise NotMountable("sparse file whose pieces are no whole blocks")
        chunk = BLOCK << bits
        count = -(-holes.size // chunk)
        self._chunks += count
        if self._chunks > _MAX_CHUNKS:
            raise NotMountable("sparse files with too large maps")
        places = [_NOWHERE] * count
        for at, size, offset in holes.pieces:
            for n in range(-(-size // chunk)):
                places[at // chunk + n] = DEVICE_AT + (offset + n * chunk) // BLOCK
        return bits, struct.pack(f"<{count}I", *places)


def _children(folder: Node) -> dict[bytes, Node]:
    return folder.children or {}


def _names(entries: list[tuple[bytes, int, int]]) -> bytes:
    """Return a block of a folder: numbers and kinds, then the names."""
    at = _DIRENT.size * len(entries)
    heads = []
    for name, number, kind in entries:
        heads.append(_DIRENT.pack(number, at, kind))
        at += len(name)
    return b"".join(heads) + b"".join([name for name, _, _ in entries])


def _xattrs(node: Node) -> bytes:
    """Return a node's extended attributes as they follow its inode, nothing where it has none.

    Where the kernel might make something else of them when a file is written, it shall do so.
    """
    member = node.member
    entries = b""
    for name, value in tree.xattrs(node, user=False):
        if name in _ACLS:
            if not posix_acl.plain(name, value, member.mode, folder=member.type == tar.FOLDER):
                raise NotMountable("access control list that does not fit its file")
            index, rest = _ACLS[name], b""
        else:
            found = next((each for each in _PREFIXES if name.startswith(each[0])), None)
            if found is None:
                continue  # no filesystem has it
            prefix, index = found
            rest = name.removeprefix(prefix)
            if not rest:
                raise NotMountable("attribute of an impossible name")
            if prefix == b"user." and member.type not in (*tar.FILES, tar.FOLDER):
                raise NotMountable("user's attribute of what has no content")
        if name == _CAPABILITY and not _plain_capability(value):
            raise NotMountable("capabilities that are none")
        if len(value) > _MAX_XATTR_VALUE:
            raise NotMountable("attribute that is too large")
        entry = struct.pack("<BBH", len(rest), index, len(value)) + rest + value
        entries += entry + bytes(-len(entry) % 4)
    if len(entries) > _MAX_XATTRS - len(_XATTRS_HEAD):
        raise NotMountable("attributes that are too large")
    return _XATTRS_HEAD + entries if entries else b""


def _plain_capability(value: bytes) -> bool:
    """Tell whether a file that is given these capabilities has them afterwards."""
    version = int.from_bytes(value[:4], "little") & ~1  # the lowest bit says: effective
    return _CAPABILITY_FORMS.get(len(value)) == version
