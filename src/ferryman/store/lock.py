"""Locks between processes: flock on files that are never removed.

``index.lock``    exclusive while index.json is read, changed and replaced.
``collect.lock``  shared while a lease is made or extended, exclusive while the collector decides
                  what to remove and removes it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locked(path: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a file, waiting for it; raises OSError when the file cannot be made."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def try_locked(path: str) -> Iterator[bool]:
    """Hold the lock of a file if nobody else does, and tell whether that is so."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield take(fd)
    finally:
        os.close(fd)


def take(fd: int, *, shared: bool = False) -> bool:
    """Lock an open file for as long as it stays open, without waiting; tell whether it worked."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
