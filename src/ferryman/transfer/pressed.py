"""Blobs as they go over the line: read and compressed once, however many hosts take them.

Each is a row of frames, which any decompressor takes for one stream.  How hard a frame is pressed
follows the line: where hosts wait for the next one, less; where that waits for them, more.
"""

import itertools
import os
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from ferryman import parallel
from ferryman.errors import FerryError, StoreError
from ferryman.image.digest import Digest
from ferryman.transfer import scratch

FRAME = 8 << 20
"""How many bytes of a blob are in each frame; what is sent from later on begins at a multiple."""
_AHEAD = 24 << 20
"""How many compressed bytes lie ready before the fastest of the hosts has to ask for more."""
_AT_ONCE = 4
# From the fastest on: what is faster is no use, since no engine takes images faster.  Nor is what
# presses harder: 15 makes 2% less of a system's layers than 9, and takes six times as long; of
# gzip, 9 makes 1% less than 6, in four times as long.
_ZSTD_LEVELS = (3, 4, 5, 6, 7, 8, 9)
# isal's gzip is several times faster than zlib's, which presses harder.
_ISAL_LEVELS = (1, 2)
_ZLIB_LEVELS = (4, 6)
_STEPS = len(_ZSTD_LEVELS)

_GZIP = 31
"""What zlib calls a window of 32 KiB with gzip's header and checksum around it."""


class Target(Protocol):
    """Where the frames go: a Line."""

    def copy(self, fd: int, start: int, size: int) -> None:
        """Send part of a file."""


class Source(Protocol):
    """Where the bytes of a blob come from, in order."""

    def read(self, start: int, size: int) -> bytes:
        """Return so many bytes, fewer only at the end; what lies before `start` may be gone."""

    def close(self) -> None:
        """Let go of it."""


class File:
    """A file as a source."""

    def __init__(self, fd: int) -> None:
        """Read a descriptor, which is closed with it."""
        self._fd = fd

    def read(self, start: int, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        return os.pread(self._fd, size, start)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


def frame(content: bytes | memoryview, codec: str, step: int = 0) -> bytes:
    """Return some bytes as one frame, pressed as hard as `step` (0 is the least) says."""
    if codec == "none":
        return bytes(content)
    if codec == "gzip":
        return _gzipped(content, step)
    import zstandard

    level = _ZSTD_LEVELS[min(step, len(_ZSTD_LEVELS) - 1)]
    return zstandard.ZstdCompressor(level=level).compress(content)


def _gzipped(content: bytes | memoryview, step: int) -> bytes:
    if step < len(_ISAL_LEVELS):
        from isal import isal_zlib

        return bytes(isal_zlib.compress(content, _ISAL_LEVELS[step], _GZIP))
    level = _ZLIB_LEVELS[min(step - len(_ISAL_LEVELS), len(_ZLIB_LEVELS) - 1)]
    return zlib.compress(content, level, _GZIP)


class Pressed:
    """One blob, ready to be sent to any number of hosts, each at its own speed."""

    def __init__(
        self,
        open_blob: Callable[[], Source],
        size: int,
        codec: str,
        start: int = 0,
        *,
        ready: bool = False,
    ) -> None:
        """Take the blob of `size` bytes that `open_blob` opens, from byte `start` on.

        With `ready` it is what `codec` made of something already.  Nothing is read before it is to
        be sent.
        """
        self._open = open_blob
        self._how = "none" if ready else codec
        self.start = start
        self.codec = codec
        self.size = size
        self._changed = threading.Condition()
        self._file: int | None = None
        self._ready = 0
        self._ended = False
        self._error: BaseException | None = None
        self._numbers = itertools.count()
        self._places: dict[int, int] = {}
        self._step = 0

    def send(self, target: Target) -> int:
        """Send all of it, and return how many bytes that was.

        Raises StoreError for a blob that is not as it should be, and what the target raises.
        """
        with self._changed:
            me = next(self._numbers)
            self._places[me] = 0
            if self._file is None:
                self._file = scratch.unnamed()
                threading.Thread(target=self._press, daemon=True).start()
            # Its own: after `close` the number may stand for another file.
            file = os.dup(self._file)
        at = 0
        try:
            while True:
                ready = self._ready_after(at)
                if ready == at:
                    return at
                size = min(ready - at, FRAME)
                target.copy(file, at, size)
                at += size
                self._moved(me, at)
        except BaseException:
            # Whoever is gone must not hold the others up.
            self._moved(me, None)
            raise
        finally:
            os.close(file)

    def close(self) -> None:
        """Give back the room that it takes; who still sends gets an error."""
        with self._changed:
            self._ended = True
            self._error = self._error or FerryError("interrupted")
            self._changed.notify_all()
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _ready_after(self, at: int) -> int:
        """Wait for more than `at` bytes, or the end; return how many there are."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready > at or self._ended)
            if self._error:
                raise self._error
            return self._ready

    def _moved(self, me: int, at: int | None) -> None:
        with self._changed:
            if at is None:
                del self._places[me]
            else:
                self._places[me] = at
            self._changed.notify_all()

    def _press(self) -> None:
        try:
            source = self._open()
            try:
                for content in self._frames(source):
                    with self._changed:
                        if self._file is None:
                            return
                        os.pwrite(self._file, content, self._ready)
                        self._ready += len(content)
                        self._changed.notify_all()
            finally:
                source.close()
        except OSError as e:
            self._error = StoreError(f"cannot read a layer: {e.strerror}")
        except BaseException as e:
            self._error = e
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _frames(self, source: Source) -> Iterator[bytes]:
        """Yield the frames in order, some of them made at once."""
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(_workers()) as pool:
            try:
                for start in range(self.start, self.size, FRAME):
                    self._paced()
                    size = min(FRAME, self.size - start)
                    content = source.read(start, size)
                    if len(content) != size:
                        raise StoreError("a blob has become shorter while it was read")
                    waiting.append(pool.submit(frame, content, self._how, self._step))
                    if len(waiting) > _workers():
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for each in waiting:
                    each.cancel()

    def _paced(self) -> None:
        """Wait while enough lies ready, and press the harder for having had to wait."""
        with self._changed:

            def wanted() -> bool:
                fastest = max(self._places.values(), default=self._ready)
                return self._ready - fastest < _AHEAD or self._ended

            if wanted():
                fastest = max(self._places.values(), default=0)
                if self._ready - fastest < FRAME and self._step:
                    self._step -= 1
            else:
                self._step += self._step < _STEPS - 1
                self._changed.wait_for(wanted)


Press = Callable[[str, Digest, int, int], Pressed]
"""Gives a blob, by codec, digest, size and the byte where it begins: one for all hosts."""


def _workers() -> int:
    # Each holds a frame, and what became of it.
    return min(parallel.cores(), _AT_ONCE)
