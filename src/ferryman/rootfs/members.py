"""The members of a layer's tar, under the paths that their names mean."""

from collections.abc import Iterator
from typing import NamedTuple

from ferryman.archive import tar
from ferryman.archive.tar import Member
from ferryman.errors import InvalidImage

_MAX_MEMBERS = 10_000_000


class Layer(NamedTuple):
    """A layer's uncompressed tar: an open file, its size in bytes, and what to call it."""

    fd: int
    size: int
    what: str


def members(layer: Layer) -> Iterator[tuple[bytes, Member]]:
    """Yield the paths (clean, without a leading slash) and members of a layer.

    Raises InvalidImage for a name that leads out of the tree, InvalidArchive for a broken tar.
    """
    for member in tar.members_in(layer.fd, layer.size, layer.what, _MAX_MEMBERS):
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
