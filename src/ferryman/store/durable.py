"""Writing so that a crash leaves the old state or the new one: aside, fsync, rename, fsync."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue


def replace(path: str, content: bytes, *, aside: str, mode: int = 0o644) -> None:
    """Make the content the file's, all at once.

    `aside` is a name on the same filesystem that the caller alone uses; one left by a crash is
    overwritten.  When it cannot be written, neither file has changed.
    """
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(aside, path)
    except BaseException:
        # On a full disk even this little is missed.
        os.unlink(aside)
        raise
    sync_folder(os.path.dirname(path))


def write_all(fd: int, content: bytes | bytearray | memoryview) -> None:
    """Write all of the content, however many calls that takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def write_back(fd: int, start: int, size: int) -> None:
    """Have the kernel begin to bring part of a file to the disk, without waiting for it.

    The fsync at the end then finds most of its work done.
    """
    # What has just been written is dirty, so the advice begins the writing and drops nothing.
    os.posix_fadvise(fd, start, size, os.POSIX_FADV_DONTNEED)


@contextmanager
def written_back(fd: int) -> Iterator[Callable[[int, int], None]]:
    """Give a function that does as `write_back` does, in a thread of its own: copying goes on."""
    ranges: SimpleQueue[tuple[int, int] | None] = SimpleQueue()

    def work() -> None:
        while part := ranges.get():
            write_back(fd, *part)

    thread = threading.Thread(target=work, name="write-back", daemon=True)
    thread.start()
    try:
        yield lambda start, size: ranges.put((start, size))
    finally:
        ranges.put(None)
        thread.join()


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove a file or a whole folder, if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        import shutil  # slow to import, and hardly ever needed

        shutil.rmtree(path, ignore_errors=True)
