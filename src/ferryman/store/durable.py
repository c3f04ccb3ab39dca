"""Writing so that a crash leaves the old state or the new one: aside, fsync, rename, fsync."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def replace(
    path: str, content: bytes, *, aside: str, mode: int = 0o644, at_once: bool = True
) -> None:
    """Make the content the file's, all at once.

    `aside` is a name on the same filesystem that the caller alone uses; one left by a crash is
    overwritten.  When it cannot be written, neither file has changed.  Without `at_once` a power
    failure may bring the old content back until the folder is synced.
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
    if at_once:
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
    """Remove a file or a whole folder, if it is there; what cannot be removed stays."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        with suppress(OSError):
            _empty(path)
            os.rmdir(path)


def _empty(path: str) -> None:
    """Remove what is in a folder, which may lie deeper than a path, or a stack, can say.

    So folders are brought up to the top before they are looked into.
    """
    top = os.open(path, _FOLDER)
    try:
        prefix = os.urandom(8).hex()
        folders = ["."]
        for folder in folders:
            with suppress(OSError):
                fd = os.open(folder, _FOLDER, dir_fd=top)
                try:
                    folders += _folders(fd, folder, top, f"{prefix}-{len(folders)}")
                finally:
                    os.close(fd)
        for folder in reversed(folders[1:]):
            with suppress(OSError):
                os.rmdir(folder, dir_fd=top)
    finally:
        os.close(top)


def _folders(fd: int, folder: str, top: int, prefix: str) -> Iterator[str]:
    """Remove the files of a folder; yield the paths from the top at which its folders are then."""
    with os.scandir(fd) as entries:
        there = list(entries)
    for n, entry in enumerate(there):
        with suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=fd)
                continue
            moved = f"{prefix}-{n}"
            try:
                os.rename(entry.name, moved, src_dir_fd=fd, dst_dir_fd=top)
            except OSError as e:
                if e.errno == errno.EBUSY:
                    continue  # something is mounted there
                moved = f"{folder}/{entry.name}"
            yield moved
