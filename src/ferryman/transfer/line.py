"""What goes to a host: bytes into a pipe, counted, and no faster than was asked for."""

import os
import threading
from collections.abc import Callable

from ferryman.registry.limits import Rate
from ferryman.store.durable import write_all

_PIECE = 1 << 20
_SLICE_SECONDS = 0.1
_NEVER = threading.Event()


class Pace:
    """So many bytes a second, however many lines share it; each waits for its turn."""

    def __init__(self, limit: int | None) -> None:
        """Allow `limit` bytes a second; None is no limit."""
        self.limit = limit
        self._rate = Rate(limit or 0)

    @property
    def piece(self) -> int:
        """How many bytes to send at once, so that the pace is even."""
        if self.limit is None:
            return _PIECE
        return max(1024, min(_PIECE, int(self.limit * _SLICE_SECONDS)))

    def wait(self, size: int) -> None:
        """Count `size` bytes that have gone, and wait until those before them may have."""
        self._rate.wait(size, _NEVER)


class Line:
    """The way to one host."""

    def __init__(self, fd: int, pace: Pace, heard: Callable[[int], None] | None = None) -> None:
        """Write to `fd`; `heard` is told of each piece that has gone, in bytes."""
        self._fd = fd
        self._pace = pace
        self._heard = heard
        self.sent = 0
        """The bytes so far."""

    def write(self, content: bytes) -> None:
        """Send some bytes; raises OSError when the far side is gone."""
        view = memoryview(content)
        while view:
            piece = view[: self._pace.piece]
            write_all(self._fd, piece)
            self._gone(len(piece))
            view = view[len(piece) :]

    def copy(self, fd: int, start: int, size: int) -> None:
        """Send part of a file, which the kernel passes on; raises OSError."""
        end = start + size
        while start < end:
            # Into a pipe the kernel passes no more than it has room for.
            n = os.sendfile(self._fd, fd, start, min(end - start, self._pace.piece))
            if not n:
                raise OSError("a file has become shorter while it was sent")
            self._gone(n)
            start += n

    def _gone(self, n: int) -> None:
        self.sent += n
        if self._heard:
            self._heard(n)
        self._pace.wait(n)
