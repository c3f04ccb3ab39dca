"""What a container has said: conmon's log, in the ``k8s-file`` form.

Each line of the file is ``TIME STREAM TAG TEXT``: TIME in 35 characters, with nine digits after the
second; STREAM ``stdout`` or ``stderr``; TAG ``F`` where a line of the container's ends, ``P`` where
the rest of it comes later.  conmon cuts lines wherever its buffer ends, and between the parts of a
line of one stream there may be lines of the other.  The file grows without limit, as docker's does
unless a limit is asked for: then a new file takes its place when it is full.
"""

import os
import re
from calendar import timegm
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

STDOUT, STDERR = 1, 2

_TIME, _STREAM, _TAG, _TEXT = slice(0, 35), slice(36, 42), slice(42, 45), slice(45, None)
_NUMBERS = {b"stdout": STDOUT, b"stderr": STDERR}
_ENDS = b" F "
_END = re.compile(rb"^.{35} std(?:out|err) F ", re.MULTILINE)
_CHUNK = 1 << 20
_MAX_HELD = 16 << 10
"""What is longer than this is passed on in parts, as docker does it."""

Piece = tuple[int, bytes]
"""The number of a stream, and what was written to it."""


class Wanted(NamedTuple):
    """Which part of a log, and in what form; times in nanoseconds since 1970."""

    tail: int | None = None
    """So many lines at the end; None for all."""
    since: int | None = None
    until: int | None = None
    timestamps: bool = False
    details: bytes | None = None
    """What stands before each line, after the time."""


def never() -> bool:
    """Say that no more is to be expected."""
    return False


def read(path: str, wanted: Wanted, more: Callable[[], bool] = never) -> Iterator[Piece]:
    """Yield what a log has, in order; lines of one stream that follow each other come together.

    `more` is called at the end of the file: it waits a while, and tells whether more may come yet
    (what has come until it says no is read in any case).  A log that is not there is empty.
    Memory does not grow with the log.  Raises OSError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        begin, skip = (0, 0) if wanted.tail is None else _tail(fd, wanted.tail)
        yield from _Lines(wanted, skip).read(_chunks(path, fd, begin, more))
    finally:
        os.close(fd)


def _chunks(path: str, fd: int, at: int, more: Callable[[], bool]) -> Iterator[bytes]:
    going, full = True, False
    while True:
        if chunk := os.pread(fd, _CHUNK, at):
            at += len(chunk)
            yield chunk
        elif full:
            newer = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            os.dup2(newer, fd, inheritable=False)
            os.close(newer)
            at, full = 0, False
        elif _replaced(path, fd):
            full = True  # what was written to it last may not have been read
        elif going:
            going = more()
        else:
            return


def _replaced(path: str, fd: int) -> bool:
    """Tell whether another file has taken the place of a log; not when there is none any more."""
    try:
        return not os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _tail(fd: int, count: int) -> tuple[int, int]:
    """Return where to begin to have the last `count` lines, and how many before them to skip."""
    size = at = os.fstat(fd).st_size
    if count <= 0:
        return size, 0
    found = 0
    while at and found <= count:
        length = min(at, _CHUNK)
        at -= length
        found += len(_END.findall(os.pread(fd, length, at)))
    # The beginning of a line may lie before the end of an earlier one: one block more has it.
    at = max(0, at - _CHUNK)
    begin = at and at + os.pread(fd, _CHUNK, at).find(b"\n") + 1
    return begin, max(0, _count(fd, begin, size) - count)


def _count(fd: int, begin: int, end: int) -> int:
    """Return how many lines begin in a part of the log."""
    total, within, rest = 0, {STDOUT: False, STDERR: False}, b""
    while chunk := os.pread(fd, min(_CHUNK, end - begin), begin):
        begin += len(chunk)
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if number := _NUMBERS.get(line[_STREAM]):
                total += not within[number]
                within[number] = line[_TAG] != _ENDS
    return total


class _Stream:
    """The line of a stream that has begun and not ended yet."""

    def __init__(self) -> None:
        self.wanted: bool | None = None
        """None between two lines."""
        self.held: list[bytes] = []
        self.size = 0

    def take(self) -> bytes:
        """Return what was held back."""
        text = b"".join(self.held)
        self.held, self.size = [], 0
        return text


class _Lines:
    """Puts the container's own lines together again, and leaves out those that nobody wants."""

    def __init__(self, wanted: Wanted, skip: int) -> None:
        self._wanted = wanted
        self._skip = skip
        self._plain = wanted._replace(tail=None) == Wanted()
        self._streams = {STDOUT: _Stream(), STDERR: _Stream()}
        self._over = False

    def read(self, chunks: Iterator[bytes]) -> Iterator[Piece]:
        rest = b""
        for chunk in chunks:
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield from self._together(lines)
            if self._over:
                break
        for number, stream in self._streams.items():
            if stream.held:
                yield number, stream.take()

    def _together(self, lines: list[bytes]) -> Iterator[Piece]:
        """Yield what is due of some lines; what is of the same stream in one piece."""
        last, texts = STDOUT, list[bytes]()
        for line in lines:
            number = _NUMBERS.get(line[_STREAM])
            if number is None:
                continue  # the rest of a line that was cut when the machine went down
            stream = self._streams[number]
            if self._plain and not self._skip and stream.wanted is None and line[_TAG] == _ENDS:
                text = line[_TEXT] + b"\n"  # as nearly all are
            else:
                text = self._part(stream, line)
            if self._over:
                break
            if not text:
                continue
            if number != last:
                if texts:
                    yield last, b"".join(texts)
                last, texts = number, []
            texts.append(text)
        if texts:
            yield last, b"".join(texts)

    def _part(self, stream: _Stream, line: bytes) -> bytes:
        """Take a line, or part of one; return what of its stream is due now."""
        text = line[_TEXT]
        if stream.wanted is None:
            stream.wanted = self._is_wanted(line[_TIME])
            if self._wanted.details is not None:
                text = self._wanted.details + b" " + text
            if self._wanted.timestamps:
                text = _utc(line[_TIME]) + b" " + text
        wanted = stream.wanted
        ends = line[_TAG] == _ENDS
        if ends:
            text += b"\n"
            stream.wanted = None
        if not wanted:
            return b""
        stream.held.append(text)
        stream.size += len(text)
        return stream.take() if ends or stream.size >= _MAX_HELD else b""

    def _is_wanted(self, time: bytes) -> bool:
        """Decide on a line by its beginning."""
        if self._skip:
            self._skip -= 1
            return False
        since, until = self._wanted.since, self._wanted.until
        if since is None and until is None:
            return True
        moment = nanoseconds(time)
        self._over = until is not None and moment > until
        return not self._over and (since is None or moment >= since)


def nanoseconds(time: bytes) -> int:
    """Return a time of the log in nanoseconds since 1970; 0 when it is damaged."""
    try:
        return _second(time[:19], time[29:])[0] * 10**9 + int(time[20:29])
    except ValueError:
        return 0


def _utc(time: bytes) -> bytes:
    """Return a time of the log as docker prints it: in UTC, with nine digits."""
    try:
        return _second(time[:19], time[29:])[1] + time[19:29] + b"Z"
    except ValueError:
        return time


@lru_cache(maxsize=16)
def _second(text: bytes, zone: bytes) -> tuple[int, bytes]:
    """Return a second of some time zone in seconds since 1970, and in UTC."""
    import time

    numbers = time.strptime(text.decode("ascii"), "%Y-%m-%dT%H:%M:%S")
    sign = -1 if zone[:1] == b"-" else 1
    moment = timegm(numbers) - sign * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
    return moment, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)).encode("ascii")
