"""Writing in a thread of its own, while what comes next is being made ready."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue

from ferryman.archive.intake import Advance
from ferryman.archive.write import Sink

_AHEAD = 8
"""Pieces that may wait: as many MiB of memory."""


@contextmanager
def writing(sink: Sink) -> Iterator["Behind"]:
    """Give a sink that passes everything on in a thread; all is written when the block ends.

    What `sink` raises is raised by a later call, or at the end of the block.  Only for files: where
    somebody has to read, the thread could wait for ever.
    """
    behind = Behind(sink)
    thread = threading.Thread(target=behind.work, name="writing", daemon=True)
    thread.start()
    try:
        yield behind
    except BaseException:
        behind.give_up()
        raise
    finally:
        behind.end()
        thread.join()
    behind.check()


class Behind:
    """A sink in front of another one; see `writing`."""

    def __init__(self, sink: Sink) -> None:
        """Pass everything on to `sink`."""
        self._sink = sink
        self._jobs: Queue[Callable[[], None] | None] = Queue(_AHEAD)
        self._failed: Exception | None = None
        self._over = False

    def write(self, content: bytes) -> None:
        """Take some bytes."""
        self.check()

        def job() -> None:
            if not self._over:
                self._sink.write(content)

        self._jobs.put(job)

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Take `size` bytes of a file, from byte `start` on; it may be closed at once."""
        self.check()
        own = os.dup(fd)

        def job() -> None:
            try:
                if not self._over:
                    self._sink.copy(own, size, advance, start)
            finally:
                os.close(own)

        self._jobs.put(job)

    def work(self) -> None:
        """Do what there is to be done, until `end`."""
        while job := self._jobs.get():
            try:
                job()
            except Exception as e:
                self._failed, self._over = e, True

    def give_up(self) -> None:
        """Write nothing more."""
        self._over = True

    def end(self) -> None:
        """Let `work` return once it has done what it was given."""
        self._jobs.put(None)

    def check(self) -> None:
        """Raise what the other sink has raised."""
        if self._failed:
            raise self._failed
