"""Bytes in order, from a file, a pipe or a decompressor, without a copy more than needed."""

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from ferryman.errors import InvalidArchive, StoreError

CHUNK = 1 << 20
"""How much is read at a time, in bytes: large enough to be cheap, small enough for the cache."""


class Stream:
    """Content that is read once, from its beginning to its end."""

    length = 0
    """The bytes that there are in all; 0 where that is not known."""

    def __init__(self) -> None:
        """Start at byte 0."""
        self._at = 0

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        raise NotImplementedError

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` only at the end."""
        buffer = bytearray(size)
        view = memoryview(buffer)
        done = 0
        while done < size and (n := self.readinto(view[done:])):
            done += n
        return bytes(view[:done])

    def skip(self, size: int) -> int:
        """Pass over bytes and return how many there were."""
        view = memoryview(bytearray(min(size, CHUNK)))
        left = size
        while left and (n := self.readinto(view[: min(left, CHUNK)])):
            left -= n
        return size - left

    def tell(self) -> int:
        """Return how many bytes have been read or passed over."""
        return self._at


class FileStream(Stream):
    """Part of a regular file; several may read one descriptor at once."""

    def __init__(self, fd: int, start: int, size: int, what: str) -> None:
        """Read `size` bytes from byte `start` on; `what` names the file in errors."""
        super().__init__()
        self._what = what
        self._fd = fd
        self._start = start
        self._size = size

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        left = self._size - self._at
        try:
            n = os.preadv(
                self._fd, [view[:left] if left < len(view) else view], self._start + self._at
            )
        except OSError as e:
            raise InvalidArchive(f"cannot read {self._what}: {e.strerror}") from None
        self._at += n
        return n

    def skip(self, size: int) -> int:
        """Pass over bytes and return how many there were."""
        n = min(size, self._size - self._at)
        self._at += n
        return n


class PipeStream(Stream):
    """A pipe, socket or anything else that can only be read on."""

    def __init__(self, fd: int, what: str) -> None:
        """Read the descriptor from where it stands; `what` names it in errors."""
        super().__init__()
        self._what = what
        self._fd = fd
        _widen(fd)

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        try:
            n = os.readv(self._fd, [view])
        except OSError as e:
            raise InvalidArchive(f"cannot read {self._what}: {e.strerror}") from None
        self._at += n
        return n


class Readable(Protocol):
    """What a decompressor of any library looks like."""

    def readinto(self, view: memoryview, /) -> int | None:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""


class DecompressedStream(Stream):
    """What a decompressor gives."""

    def __init__(self, source: Readable, what: str, errors: tuple[type[Exception], ...]) -> None:
        """Read from `source`; its `errors` become InvalidArchive with `what` as the subject."""
        super().__init__()
        self._source = source
        self._what = what
        self._errors = errors

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        if not view:
            return 0  # for a decompressor no room is no end: some would try for ever
        try:
            n = self._source.readinto(view) or 0
        except self._errors as e:
            raise InvalidArchive(f"{self._what} is damaged or truncated: {e}") from None
        self._at += n
        return n


class BytesStream(Stream):
    """Content that is in memory already."""

    def __init__(self, content: bytes) -> None:
        """Read the content from its beginning."""
        super().__init__()
        self._content = memoryview(content)

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        piece = self._content[self._at : self._at + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class Pieces(Stream):
    """Content that comes in pieces, of whatever sizes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """Give what the iterator gives."""
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        n = min(len(view), len(self._rest))
        view[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        self._at += n
        return n


class RewoundStream(Stream):
    """A stream of which the first bytes have been looked at already."""

    def __init__(self, head: bytes, rest: Stream) -> None:
        """Give `head` again, then what `rest` still holds."""
        super().__init__()
        self._head = head
        self._rest = rest
        self.length = rest.length

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        if self._at < len(self._head):
            n = min(len(view), len(self._head) - self._at)
            view[:n] = self._head[self._at : self._at + n]
        else:
            n = self._rest.readinto(view)
        self._at += n
        return n


class Chained(Stream):
    """Two streams, one after the other."""

    def __init__(self, first: Stream, second: Stream) -> None:
        """Give what `first` has, then what `second` has."""
        super().__init__()
        self._parts = [first, second]

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        while self._parts and view:
            if n := self._parts[0].readinto(view):
                self._at += n
                return n
            del self._parts[0]
        return 0


class Counted(Stream):
    """A stream whose reader tells how far it has come."""

    def __init__(self, stream: Stream, advance: Callable[[int], None]) -> None:
        """Tell `advance` of each piece of `stream`."""
        super().__init__()
        self._stream = stream
        self._advance = advance

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        n = self._stream.readinto(view)
        self._at += n
        self._advance(n)
        return n


class Limited(Stream):
    """The next bytes of a stream, and no more of it."""

    def __init__(self, stream: Stream, size: int) -> None:
        """Give at most `size` bytes."""
        super().__init__()
        self._stream = stream
        self._size = size

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        n = self._stream.readinto(view[: max(0, self._size - self._at)])
        self._at += n
        return n


class Bounded(Stream):
    """Decompressed content that may not grow beyond what there is room for."""

    def __init__(self, stream: Stream, limit: int, what: str) -> None:
        """Give what `stream` gives, up to `limit` bytes; one more raises StoreError."""
        super().__init__()
        self._stream = stream
        self._limit = limit
        self._what = what

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        n = self._stream.readinto(view)
        self._at += n
        if self._at > self._limit:
            raise StoreError(
                f"{self._what} unpacks to more than the {self._limit} bytes that the store has "
                "room for"
            )
        return n


def _widen(fd: int) -> None:
    """Let a pipe hold as much as it may: fewer switches between the two programs."""
    import fcntl

    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, CHUNK)
    except OSError:
        return  # no pipe, or the user's share of pipe memory is used up: it works as it is
