"""Sparse files in a tar: where the pieces that are no holes lie (GNU tar manual, "Sparse Formats").

A map comes from a stranger: what it says is checked against the content that is there.
"""

import os
from bisect import bisect_right
from typing import NamedTuple

from ferryman.archive import tar
from ferryman.archive.tar import Member
from ferryman.errors import InvalidArchive

_MAX_MAP = 1 << 20
_MAX_SIZE = 1 << 62


class Piece(NamedTuple):
    """Bytes of a file that are no hole: where they begin in it, how many, and where in the tar."""

    at: int
    size: int
    offset: int


class Sparse(NamedTuple):
    """A file with holes or without: its real size in bytes, and its pieces, in order."""

    size: int
    pieces: list[Piece]

    def read(self, fd: int, at: int, size: int) -> bytes:
        """Return so many bytes of the file from byte `at` on; `fd` is the tar.

        Raises OSError.
        """
        found = bytearray(size)
        n = max(bisect_right(self.pieces, at, key=lambda piece: piece.at) - 1, 0)
        while n < len(self.pieces) and (piece := self.pieces[n]).at < at + size:
            start, end = max(at, piece.at), min(at + size, piece.at + piece.size)
            if start < end:
                place = memoryview(found)[start - at : end - at]
                os.preadv(fd, [place], piece.offset + start - piece.at)
            n += 1
        return bytes(found)


def content(fd: int, member: Member, what: str) -> Sparse:
    """Return what a file holds, sparse or not; `fd` is the tar that it lies in.

    Raises InvalidArchive as `sparse` does.
    """
    holes = sparse(fd, member, what)
    if holes is not None:
        return holes
    pieces = [Piece(0, member.size, member.offset)] if member.size else []
    return Sparse(member.size, pieces)


def sparse(fd: int, member: Member, what: str) -> Sparse | None:
    """Return the map of a sparse file, None for all else; `fd` is the tar that it lies in.

    Raises InvalidArchive, with `what` as its subject, for a map that does not fit the content.
    """
    pax = member.pax
    if not pax or member.type not in tar.FILES:
        return None
    try:
        if tar.SPARSE_MAP in pax:
            text = pax[tar.SPARSE_MAP]
            numbers = _numbers(text.split(b",")) if text else []
            content = member.offset
        elif pax.get(b"GNU.sparse.major") == b"1":
            numbers, content = _leading(fd, member)
        else:
            return None
        size = _number(pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size", b""))
        return Sparse(size, _pieces(numbers, size, content, member))
    except (ValueError, OSError):
        name = repr(member.name[:200]).removeprefix("b")
        raise InvalidArchive(f"{what}: the sparse map of {name} does not fit its content") from None


def _leading(fd: int, member: Member) -> tuple[list[int], int]:
    """Read the map of version 1.0: lines in front of the content, padded to a whole block."""
    head = os.pread(fd, min(member.size, _MAX_MAP), member.offset)
    count, _, rest = head.partition(b"\n")
    wanted = 2 * _number(count)
    if wanted > len(rest):
        raise ValueError
    lines = rest.split(b"\n", wanted)
    if len(lines) <= wanted:
        raise ValueError
    length = len(count) + 1 + sum(len(line) + 1 for line in lines[:wanted])
    return _numbers(lines[:wanted]), member.offset + tar.padded(length)


def _pieces(numbers: list[int], size: int, offset: int, member: Member) -> list[Piece]:
    if len(numbers) % 2:
        raise ValueError
    pieces: list[Piece] = []
    end = 0
    for at, length in zip(numbers[::2], numbers[1::2], strict=True):
        if at < end:
            raise ValueError
        end = at + length
        if length:
            pieces.append(Piece(at, length, offset))
        offset += length
    if end > size or offset != member.offset + member.size:
        raise ValueError
    return pieces


def _numbers(texts: list[bytes]) -> list[int]:
    return [_number(text) for text in texts]


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20 or (value := int(text)) > _MAX_SIZE:
        raise ValueError
    return value
