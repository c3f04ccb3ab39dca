"""The instructions that make a new layer, in blocks: docs/delta-format.md, "Instructions"."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ferryman.transfer.delta.align import Aligned, Mapped
from ferryman.transfer.delta.undo import CHANGE, COPY, LITERAL, MAX_BLOCK

# Bytes that differ, and equal ones between them that are too few for an instruction of their own.
_CHANGED = re.compile(rb"[^\0]+(?:\0{1,24}[^\0]+)*")
_PIECE = 64 << 10
# Two numbers, each of at most ten bytes.
_LARGEST = 20


class Block(NamedTuple):
    """A block of a delta, uncompressed."""

    instructions: bytes
    differences: bytes
    literals: bytes
    made: int
    """How many bytes of the result it makes."""


class _Step(NamedTuple):
    """An instruction: its kind, its length, where in the bases, and what else it needs."""

    kind: int
    size: int
    old: int
    content: bytes = b""


def blocks(new: Mapped, aligned: Iterable[Aligned]) -> Iterator[Block]:
    """Yield the blocks that make the new layer, of which all bytes are aligned, in order."""
    making = _Making()
    for piece in aligned:
        for step in _steps(new, piece):
            if making.size + len(step.content) + 2 * _LARGEST > MAX_BLOCK:
                yield making.finished()
            making.add(step)
    if making.made:
        yield making.finished()


def _steps(new: Mapped, piece: Aligned) -> Iterator[_Step]:
    """Yield instructions for some bytes."""
    if piece.base is None:
        for at in range(piece.at, piece.end, _PIECE):
            content = new.content[at : min(at + _PIECE, piece.end)]
            yield _Step(LITERAL, len(content), 0, content)
        return
    start = piece.base.start
    if piece.same:
        yield _Step(COPY, piece.end - piece.at, start + piece.old)
        return
    shift = piece.old - piece.at
    for at in range(piece.at, piece.end, _PIECE):
        end = min(at + _PIECE, piece.end)
        one, other = new.content[at:end], piece.base.content[at + shift : end + shift]
        yield from _changes(one, other, start + at + shift)


def _changes(new: bytes, old: bytes, at: int) -> Iterator[_Step]:
    """Yield copies of what is the same, and changes of what is not; `at` is where the old lies."""
    size = len(new)
    if new == old:
        yield _Step(COPY, size, at)
        return
    number = int.from_bytes(new, "little") ^ int.from_bytes(old, "little")
    done = 0
    for changed in _CHANGED.finditer(number.to_bytes(size, "little")):
        begin, end = changed.span()
        if begin > done:
            yield _Step(COPY, begin - done, at + done)
        yield _Step(CHANGE, end - begin, at + begin, changed.group())
        done = end
    if done < size:
        yield _Step(COPY, size - done, at + done)


class _Making:
    """The block that is being made; instructions that follow on from each other become one."""

    def __init__(self) -> None:
        self._at = 0
        self._last: _Step | None = None
        self._empty()

    def _empty(self) -> None:
        self._instructions, self._differences = bytearray(), bytearray()
        self._literals = bytearray()
        self.made = 0

    @property
    def size(self) -> int:
        """How large the block is, but for its last instruction."""
        return len(self._instructions) + len(self._differences) + len(self._literals)

    def add(self, step: _Step) -> None:
        """Take the next instruction."""
        self.made += step.size
        if step.kind == LITERAL:
            self._literals += step.content
        else:
            self._differences += step.content
        last = self._last
        on = last and (step.kind == LITERAL or step.old == last.old + last.size)
        if last and on and last.kind == step.kind:
            self._last = last._replace(size=last.size + step.size)
            return
        self._write()
        self._last = step

    def finished(self) -> Block:
        """Return the block, and begin the next one."""
        self._write()
        self._last = None
        parts = bytes(self._instructions), bytes(self._differences), bytes(self._literals)
        block = Block(*parts, self.made)
        self._empty()
        return block

    def _write(self) -> None:
        if self._last is None:
            return
        kind, size, old, _ = self._last
        _append(self._instructions, size << 2 | kind)
        if kind != LITERAL:
            distance = old - self._at
            _append(self._instructions, distance << 1 if distance >= 0 else ~(distance << 1))
            self._at = old + size


def _append(instructions: bytearray, number: int) -> None:
    while number > 127:
        instructions.append(number & 127 | 128)
        number >>= 7
    instructions.append(number)
