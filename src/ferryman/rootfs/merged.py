"""An image's files as its layers together show them (OCI image spec 1.1, layer.md, "Whiteouts").

Nothing is unpacked: the result says in which layer each file's header and content lie.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ferryman.archive import tar
from ferryman.archive.stream import FileStream
from ferryman.archive.tar import Member
from ferryman.errors import InvalidImage

_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_MAX_MEMBERS = 10_000_000


class Layer(NamedTuple):
    """A layer's uncompressed tar: an open file, its size in bytes, and what to call it."""

    fd: int
    size: int
    what: str


class File(NamedTuple):
    """One path of the merged tree: its member, and the number of the layer that has it."""

    member: Member
    layer: int


def members(layer: Layer) -> Iterator[tuple[bytes, Member]]:
    """Yield the paths (clean, without a leading slash) and members of a layer.

    Raises InvalidImage for a name that leads out of the tree, InvalidArchive for a broken tar.
    """
    for member in tar.members(
        FileStream(layer.fd, 0, layer.size, layer.what), layer.what, _MAX_MEMBERS
    ):
        yield clean(member.name, layer.what), member


def clean(name: bytes, what: str) -> bytes:
    """Return a member's name as a path within the tree, "" for its root; raises InvalidImage.

    As docker reads it, ".." takes the name before it away, whatever that may be in the tree.
    """
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part != b"..":
            if part not in (b"", b"."):
                parts.append(part)
        elif parts:
            parts.pop()
        elif not name.startswith(b"/"):
            shown = repr(name[:200]).removeprefix("b")
            raise InvalidImage(f"{what}: name that leads outside: {shown}")
    return b"/".join(parts)


def merged(layers: Sequence[Layer]) -> dict[bytes, File]:
    """Return the merged tree of layers, lowest first, by path.

    Raises InvalidImage, InvalidArchive.
    """
    tree: dict[bytes, File] = {}
    hidden: set[bytes] = set()  # nothing of a lower layer shows at or below these
    covered: set[bytes] = set()  # nothing of a lower layer shows below these
    for number in range(len(layers) - 1, -1, -1):
        mine: dict[bytes, Member] = {}
        hiding: set[bytes] = set()
        covering: set[bytes] = set()
        for path, member in members(layers[number]):
            folder, _, name = path.rpartition(b"/")
            if name == _OPAQUE:
                covering.add(folder)
            elif name.startswith(_WHITEOUT + _WHITEOUT):
                continue  # other marks of AUFS, which say nothing here
            elif name.startswith(_WHITEOUT):
                hiding.add(_under(folder, name.removeprefix(_WHITEOUT)))
            else:
                mine[path] = member
        for path, member in mine.items():
            if path not in tree and not _shadowed(path, hidden, covered):
                tree[path] = File(member, number)
            if member.type != tar.FOLDER:
                covering.add(path)
        hidden |= hiding
        covered |= covering
    return tree


def _under(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _shadowed(path: bytes, hidden: set[bytes], covered: set[bytes]) -> bool:
    if path in hidden:
        return True
    while path:
        path = path.rpartition(b"/")[0]
        if path in hidden or path in covered:
            return True
    return False


def inode(tree_layer: dict[bytes, Member], path: bytes, what: str) -> bytes:
    """Follow hard links within one layer to the path that has the content.

    Raises InvalidImage when they lead in a circle or to nothing.
    """
    first = path
    for _ in range(1000):
        member = tree_layer.get(path)
        if member is None:
            break
        if member.type != tar.HARDLINK:
            return path
        path = clean(member.link, what)
    raise InvalidImage(f"{what}: hard link {first[:200]!r} leads to no file")
