"""What a container has written, an overlay's upper folder, as the tree that a layer is."""

import os
import stat

from ferryman.archive.tar import Member
from ferryman.rootfs import pack, tree, whiteout
from ferryman.rootfs.pack import Entry
from ferryman.rootfs.tree import Node


def written(upper: int) -> Node:
    """Return the root of the tree that is in an open folder; raises OSError.

    Nothing in it is followed: it may be that of a container that runs.
    """
    root = Node(_folder(Entry(b"", upper, ".", os.fstat(upper))))
    folders = {b"": root}
    links: dict[tuple[int, int], Node] = {}
    for entry in pack.walk(upper):
        above, _, name = entry.path.rpartition(b"/")
        folder = folders.get(above)
        if folder is None or folder.children is None:
            continue  # it has just been made anew
        status = entry.status
        if whiteout.is_whiteout(status):
            folder.children[name] = Node(tree.WHITEOUT)
            continue
        inode = (status.st_dev, status.st_ino)
        is_folder = stat.S_ISDIR(status.st_mode)
        if status.st_nlink > 1 and not is_folder and inode in links:
            folder.children[name] = links[inode]
            continue
        member = pack.member_of(entry)
        if member is None:
            continue
        node = folder.children[name] = links[inode] = Node(member)
        if is_folder:
            node.opaque = _opaque(entry)
            folders[entry.path] = node
    return root


def _folder(entry: Entry) -> Member:
    member = pack.member_of(entry)
    assert member is not None
    return member


def _opaque(entry: Entry) -> bool:
    def value(name: str) -> bytes | None:
        try:
            path = f"/proc/self/fd/{entry.folder}/{entry.name}"
            return os.getxattr(path, name, follow_symlinks=False)
        except OSError:
            return None

    return whiteout.opaque(value)
