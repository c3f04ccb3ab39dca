"""An image's files as its layers together show them (OCI image spec 1.1, layer.md, "Whiteouts").

Nothing is unpacked: the result says in which layer each file's header and content lie.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ferryman.archive.tar import Member
from ferryman.rootfs import tree
from ferryman.rootfs.members import Layer
from ferryman.rootfs.tree import Node


class File(NamedTuple):
    """One path of the merged tree: what it stands for, and the number of the layer that has it."""

    node: Node
    """The same for all hard links of a file."""
    layer: int

    @property
    def member(self) -> Member:
        """What the layer's tar says of it."""
        return self.node.member


class _Name:
    """What a name stands for in the layers so far; a folder's content is theirs together."""

    __slots__ = ("below", "file")

    def __init__(self, file: File) -> None:
        self.file = file
        self.below: dict[bytes, _Name] = {}


def merged(layers: Sequence[Layer]) -> dict[bytes, File]:
    """Return the merged tree of layers, lowest first, by path: each folder before what is in it.

    Names in a folder are sorted.  The root is there if a layer says something of it.  Raises
    InvalidImage, InvalidArchive.
    """
    return laid(map(tree.tree, layers))


def laid(tops: Iterable[Node]) -> dict[bytes, File]:
    """Do so for trees that are there already."""
    root = _Name(File(Node(tree.IMPLIED), 0))
    for number, top in enumerate(tops):
        if top.member is tree.IMPLIED:
            top.member = root.file.member
        _lay(root, top, number)
    files: dict[bytes, File] = {}
    pending = [(b"", root)]
    while pending:
        path, name = pending.pop()
        if path or name.file.member is not tree.IMPLIED:
            files[path] = name.file
        start = path + b"/" if path else b""
        pending += [(start + each, name.below[each]) for each in sorted(name.below, reverse=True)]
    return files


def _lay(root: _Name, top: Node, number: int) -> None:
    """Lay a layer over those below it, as overlay does."""
    pending = [(root, top)]
    while pending:
        name, folder = pending.pop()
        name.file = File(folder, number)
        if folder.opaque:
            name.below.clear()
        for each, node in (folder.children or {}).items():
            if node.is_whiteout:
                name.below.pop(each, None)
            elif node.children is None:
                name.below[each] = _Name(File(node, number))
            else:
                there = name.below.get(each)
                if there is None or there.file.node.children is None:
                    there = name.below[each] = _Name(File(node, number))
                pending.append((there, node))
