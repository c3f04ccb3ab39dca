"""A stream that has to be read in any order: as a file."""

import os

from ferryman.archive.stream import CHUNK, Bounded, Stream
from ferryman.store.durable import write_all


def spooled(stream: Stream, path: str, what: str) -> int:
    """Write a stream to a new file of its own, and return that, open; `what` names it in errors.

    Raises InvalidArchive, StoreError when it is more than there is room for, and OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        room = os.fstatvfs(fd)
        bounded = Bounded(stream, room.f_bavail * room.f_frsize, what)
        while piece := bounded.read(CHUNK):
            write_all(fd, piece)
    except BaseException:
        os.close(fd)
        raise
    return fd
