"""Which bytes of an old content a new one resembles: not only those that are the same.

What a program was compiled to anew differs in some bytes of every few dozen, the addresses.  So a
match goes on over bytes that differ as long as at least half are the same; what is to be done about
those that differ is not decided here.
"""

import re
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple
from zlib import crc32

Content = bytes | mmap
"""Something whose slices are bytes."""


class Match(NamedTuple):
    """Bytes of the new content, `at` to `end`, and where the old ones that they resemble begin."""

    at: int
    end: int
    old: int


_STEP = 64
"""How many bytes are judged together: half of them may differ."""
_LEAP = 64 << 10
# A match is cut here, so that whoever takes it can let go of the pages behind it.
_LONGEST = 16 << 20

# Places by which bytes are found again wherever they went: ends of lines and, in machine code, some
# of the most frequent bytes.  They and what follows them are the key.
_KEY = 16
_ANCHOR = re.compile(rb"[\n\xe8H](?s:.{%d})" % (_KEY - 1))
# Contents up to this size have all their anchors in the index; larger ones have rarer anchors, of
# which every 2nd, 4th, … may have to do: an anchor takes a microsecond, and 100 bytes of memory.
_DENSE = 48 << 20
_RARE_ANCHOR = re.compile(rb"[\n\xe8H][\x04\x14$4DTdt\x84\x94\xa4\xb4\xc4\xd4\xe4\xf4](?s:.{14})")
_RARER = 16


def matches(
    new: Content, at: int, end: int, old: Content, start: int, stop: int
) -> Iterator[Match]:
    """Yield where `new[at:end]` resembles `old[start:stop]`: in order, without overlap."""
    begin = at
    for match in _onward(new, at, end, old, start, stop):
        yield match
        begin = match.end
    tail = end - _backward(new, begin, end, old, start, stop)
    if tail - begin >= _KEY:
        yield from _by_anchors(new, begin, tail, old, start, stop, start - at)
    if tail < end:
        yield Match(tail, end, stop - (end - tail))


def _by_anchors(
    new: Content, at: int, end: int, old: Content, start: int, stop: int, shift: int
) -> Iterator[Match]:
    """Yield matches that begin at an anchor; `shift` leads to the old bytes of those before it."""
    places: dict[int, int] | None = None
    size = stop - start
    anchors = _ANCHOR if size <= _DENSE else _RARE_ANCHOR
    mask = (1 << (size // (_DENSE * _RARER)).bit_length()) - 1
    while True:
        for anchor in anchors.finditer(new, at, end):
            n = anchor.start()
            old_n = n + shift
            if not (start <= old_n <= stop - _STEP and _alike(new, n, old, old_n)):
                if places is None:
                    places = _index(old, start, stop, anchors, mask)
                old_n = places.get(crc32(anchor.group()), -1)
                if old_n < 0 or not _alike(new, n, old, old_n):
                    continue
            begin = n - _backward(new, at, n, old, start, old_n)
            if _forward(new, n, end, old, old_n, stop) - begin < _KEY:
                continue
            shift = old_n - n
            if begin < n:
                yield Match(begin, n, begin + shift)
            at = n
            for match in _onward(new, n, end, old, old_n, stop):
                yield match
                at = match.end
            break
        else:
            return


def _onward(new: Content, n: int, end: int, old: Content, old_n: int, stop: int) -> Iterator[Match]:
    """Yield matches one behind the other, from these places on."""
    while (beyond := _forward(new, n, end, old, old_n, stop)) > n:
        yield Match(n, beyond, old_n)
        if beyond - n < _LONGEST:
            return
        n, old_n = beyond, old_n + _LONGEST


def _index(
    old: Content, start: int, stop: int, anchors: re.Pattern[bytes], mask: int
) -> dict[int, int]:
    """Return where the keys of the old content are, those that a mask lets through."""
    places = {}
    while start < stop:
        at = start
        for anchor in anchors.finditer(old, start, min(stop, start + _LONGEST)):
            at = anchor.end()
            key = crc32(anchor.group())
            if not key & mask:
                places[key] = anchor.start()
        start = max(at, start + _LONGEST - _KEY)
        release(old)
    return places


def release(content: Content) -> None:
    """Let go of what is in memory of a file; it is read again when it is needed."""
    if isinstance(content, mmap):
        from mmap import MADV_DONTNEED

        content.madvise(MADV_DONTNEED)


def _alike(new: Content, n: int, old: Content, old_n: int) -> bool:
    """Tell whether at least half of the next bytes are the same."""
    return _differences(new[n : n + _STEP], old[old_n : old_n + _STEP]).count(0) >= _STEP // 2


def _differences(one: bytes, other: bytes) -> bytes:
    number = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return number.to_bytes(max(len(one), len(other)), "little")


def _forward(new: Content, n: int, end: int, old: Content, old_n: int, stop: int) -> int:
    """Return up to where the new content resembles the old one from here on."""
    end = min(end, n + stop - old_n, n + _LONGEST)
    shift = old_n - n
    step = _STEP
    while n < end:
        step = min(step, end - n)
        one, other = new[n : n + step], old[n + shift : n + shift + step]
        if one == other:
            n += step
            step = min(2 * step, _LEAP)
        elif step > _STEP:
            step = _STEP
        else:
            differences = _differences(one, other)
            if differences.count(0) < step / 2:
                return n + step - len(differences.lstrip(b"\0"))
            n += step
    return n


def _backward(new: Content, at: int, n: int, old: Content, start: int, old_n: int) -> int:
    """Return how many bytes before these places resemble each other."""
    end = n
    at = max(at, n - (old_n - start), n - _LONGEST)
    shift = old_n - n
    step = _STEP
    while n > at:
        step = min(step, n - at)
        one, other = new[n - step : n], old[n + shift - step : n + shift]
        if one == other:
            n -= step
            step = min(2 * step, _LEAP)
        elif step > _STEP:
            step = _STEP
        else:
            differences = _differences(one, other)
            if differences.count(0) < step / 2:
                return end - n + step - len(differences.rstrip(b"\0"))
            n -= step
    return end - n
