"""Files of ends on this machine: read with nothing taken for granted, written all or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ferryman.archive.stream import CHUNK, FileStream, Stream
from ferryman.store.durable import sync_folder, write_all, write_back
from ferryman.transfer.ends.contract import CopyError

_WRITE_BACK = 8 << 20


@contextmanager
def opened(path: str) -> Iterator[tuple[Stream, int]]:
    """Give the content of a regular file, and its size in bytes; raises CopyError."""
    with descriptor(path) as fd:
        size = os.fstat(fd).st_size
        yield FileStream(fd, 0, size, path), size


@contextmanager
def descriptor(path: str) -> Iterator[int]:
    """Open a regular file to read; raises CopyError."""
    try:
        # What looks like a file may be a pipe by now, and nobody may ever write to it.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        raise CopyError(f"cannot read {path}: {e.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise CopyError(f"cannot read {path}: it is not a file")
        yield fd
    finally:
        os.close(fd)


def read(path: str, limit: int) -> bytes | None:
    """Return a file of at most `limit` bytes, None when it is not there; raises CopyError."""
    if not os.path.lexists(path):
        return None
    with opened(path) as (stream, size):
        if size > limit:
            raise CopyError(f"{path} has {size} bytes, more than the {limit} that are read")
        return stream.read(size)


def size(path: str) -> int | None:
    """Return the size in bytes of a regular file, None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


@contextmanager
def replacing(path: str) -> Iterator[int]:
    """Open a file that gets its name, durably, when the block ends well; raises CopyError."""
    # The file behind a link is replaced, not the link.
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    aside = f"{folder}/.{name[:40]}.{os.urandom(6).hex()}.part"
    try:
        fd = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as e:
        raise CopyError(f"cannot write to {folder}: {e.strerror}") from None
    try:
        try:
            yield fd
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(aside, path)
        sync_folder(folder)
    except BaseException as e:
        with suppress(OSError):
            os.unlink(aside)
        if isinstance(e, OSError):
            raise CopyError(f"cannot write {path}: {e.strerror}") from None
        raise


def write(path: str, content: bytes) -> None:
    """Make the content a file's, all at once; raises CopyError."""
    with replacing(path) as fd:
        write_all(fd, content)


def write_stream(path: str, stream: Stream) -> None:
    """Make what a stream gives a file's, all at once; raises CopyError, and what it raises."""
    with replacing(path) as fd:
        pump(stream, fd)


def pump(stream: Stream, fd: int, *, flush: bool = True) -> None:
    """Write a stream to a file or pipe, from where that stands; raises OSError."""
    view = memoryview(bytearray(CHUNK))
    done = flushed = 0
    while n := stream.readinto(view):
        write_all(fd, view[:n])
        done += n
        if flush and done - flushed >= _WRITE_BACK:
            at = os.lseek(fd, 0, os.SEEK_CUR)
            write_back(fd, at - (done - flushed), done - flushed)
            flushed = done
