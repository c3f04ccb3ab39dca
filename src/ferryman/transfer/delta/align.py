"""Which bytes of a new layer resemble which of the old ones, found by what a tar is made of.

Members are looked for by their names, or by names that differ in numbers only, as those of versions
do; contents that went elsewhere, by their sizes.  What is no tar is one content without a name.
"""

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ferryman.archive import tar
from ferryman.errors import InvalidArchive
from ferryman.transfer.delta.match import Content, matches

MAX_MEMBERS = 10_000_000
_PIECE = 1 << 20
# Of contents of one size, so many are compared with a new one.
_CANDIDATES = 16
# Decimal or hexadecimal, as those of versions and of hashes are.
_NUMBER = re.compile(rb"[0-9a-f]*[0-9][0-9a-f]*")


class Mapped(NamedTuple):
    """A layer's uncompressed tar: a file, and its content, which is mapped and not in memory."""

    fd: int
    content: Content
    size: int
    start: int
    """Where it begins when all bases are one behind the other."""


class Aligned(NamedTuple):
    """Bytes of the new layer, from `at` to `end`, and from where in `base` on they resemble it."""

    at: int
    end: int
    base: Mapped | None = None
    old: int = 0
    same: bool = False
    """True when they are known to be the same."""


class _Member(NamedTuple):
    """What a member takes up: its headers from `head` on, its content and padding up to `end`."""

    layer: Mapped
    name: bytes
    head: int
    content: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.content


def aligned(new: Mapped, bases: Sequence[Mapped]) -> Iterator[Aligned]:
    """Yield what the bytes of the new layer resemble, all of them, in order."""
    known = _Known(bases)
    at = 0
    for member in _members(new):
        old = known.named(member)
        if member.content > member.head:
            if old and old.content - old.head == member.content - member.head:
                yield Aligned(member.head, member.content, old.layer, old.head)
            else:
                yield Aligned(member.head, member.content)
        if member.size:
            yield from _content(member, old, known)
        at = member.end
    if at < new.size:
        yield Aligned(at, new.size)


def _content(member: _Member, old: _Member | None, known: "_Known") -> Iterator[Aligned]:
    """Yield what the bytes of a content resemble; `old` is the member that should be like it."""
    at, end = member.content, member.end
    same = old if old and _equal(member, old) else known.equal(member)
    if same:
        yield Aligned(at, end, same.layer, same.content, same=True)
        return
    if old:
        place = old.layer.content, old.content, old.end
        for match in matches(member.layer.content, at, end, *place):
            if at < match.at:
                yield Aligned(at, match.at)
            yield Aligned(match.at, match.end, old.layer, match.old)
            at = match.end
    if at < end:
        yield Aligned(at, end)


class _Known:
    """The members of the bases, as they are looked for; an earlier base goes first."""

    def __init__(self, bases: Sequence[Mapped]) -> None:
        self._names: dict[bytes, _Member] = {}
        self._numberless: dict[bytes, _Member] = {}
        self._sizes: dict[int, list[_Member]] = {}
        for base in bases:
            for member in _members(base):
                self._names.setdefault(member.name, member)
                self._numberless.setdefault(numberless(member.name), member)
                if member.size:
                    alike = self._sizes.setdefault(member.size, [])
                    if len(alike) < _CANDIDATES:
                        alike.append(member)

    def named(self, member: _Member) -> _Member | None:
        """Return what has the member's name, or one that differs in numbers only."""
        return self._names.get(member.name) or self._numberless.get(numberless(member.name))

    def equal(self, member: _Member) -> _Member | None:
        """Return what has the same content under whatever name."""
        for old in self._sizes.get(member.size, ()):
            if _equal(member, old):
                return old
        return None


def numberless(name: bytes) -> bytes:
    """Return a name without its numbers, which those of another version may have changed."""
    return _NUMBER.sub(b"", name)


def _equal(one: _Member, other: _Member) -> bool:
    """Tell whether two contents are the same."""
    if one.size != other.size:
        return False
    for at in range(0, one.size, _PIECE):
        n = min(_PIECE, one.size - at)
        # Not by the mapping: what has been read is not to stay in memory.
        piece = os.pread(one.layer.fd, n, one.content + at)
        if piece != os.pread(other.layer.fd, n, other.content + at):
            return False
    return True


def _members(layer: Mapped) -> Iterator[_Member]:
    """Yield what the members of a layer take up; behind the last one there may be more."""
    at = 0
    try:
        for member in tar.members_in(layer.fd, layer.size, "the layer", MAX_MEMBERS):
            end = min(member.offset + tar.padded(member.size), layer.size)
            yield _Member(layer, member.name, at, member.offset, end)
            at = end
    except InvalidArchive:
        if at < layer.size:
            yield _Member(layer, b"", at, at, layer.size)
