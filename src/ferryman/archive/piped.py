"""What can only write to a descriptor, in front of what is no file: a pipe and a thread."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ferryman.archive.stream import CHUNK


class Writer(Protocol):
    """What takes bytes."""

    def write(self, content: memoryview) -> None:
        """Take some bytes."""


@contextmanager
def piped(sink: Writer) -> Iterator[int]:
    """Give a descriptor; all that is written to it has gone to `sink` when the block ends.

    What `sink` raises ends the pipe, and is raised at the end of the block.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    failed: list[BaseException] = []

    def pump() -> None:
        view = memoryview(bytearray(CHUNK))
        try:
            while n := os.readv(read, [view]):
                sink.write(view[:n])
        except BaseException as e:
            failed.append(e)
        finally:
            os.close(read)

    thread = threading.Thread(target=pump, name="piped", daemon=True)
    thread.start()
    try:
        yield write
    except BaseException as e:
        os.close(write)
        thread.join()
        if failed:
            raise failed[0] from e
        raise
    os.close(write)
    thread.join()
    if failed:
        raise failed[0]
