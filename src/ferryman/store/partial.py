"""Blobs of which the beginning is here: kept from one attempt to bring them in to the next.

::

    partial/<algorithm>/<encoded>    the first bytes of the blob of this digest, perhaps all

Whoever writes one has it locked for itself alone; whoever relies on one that is whole, until it is
given its name in ``blobs/``, shares its lock.  Nothing here counts as verified: that is found out
each time, over all of its bytes.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator

from ferryman.errors import Interrupted
from ferryman.image.digest import Digest
from ferryman.store import blobs, durable
from ferryman.store.layout import Store
from ferryman.store.lease import Lease
from ferryman.store.lock import take

OLD = 24 * 60 * 60.0
"""Seconds after which nobody is expected to come back for one."""

_POLL = 0.1


class Partial:
    """The beginning of a blob; the file stays when this is closed."""

    def __init__(self, path: str, fd: int) -> None:
        """Take over an open, locked file; use `begin` to get one."""
        self.path = path
        self.fd = fd

    @property
    def size(self) -> int:
        """How many bytes are here."""
        return os.fstat(self.fd).st_size

    def rewind(self) -> None:
        """Forget what is here."""
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)

    def share(self) -> None:
        """Let others rely on it, too, now that it is whole."""
        fcntl.flock(self.fd, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let others go on with it."""
        os.close(self.fd)


def begin(lease: Lease, digest: Digest, size: int, stop: threading.Event) -> Partial | None:
    """Return what is here of a blob, to be gone on with, its file standing at its end.

    Who else is at it is waited for.  None when the blob itself has come in the meantime, which the
    lease protects.  Raises OSError, and Interrupted once `stop` is set.
    """
    store = lease.store
    path = _path(store, digest)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    while blobs.size(store, digest) != size:
        if stop.is_set():
            raise Interrupted("interrupted")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        found = Partial(path, fd)
        # One that is shared is whole, and nobody writes to it any more.
        if (take(fd) or (take(fd, shared=True) and found.size == size)) and _is(path, fd):
            if found.size > size:
                found.rewind()
            os.lseek(fd, 0, os.SEEK_END)
            return found
        os.close(fd)
        stop.wait(_POLL)
    return None


def adopt(lease: Lease, digest: Digest) -> None:
    """Make one that is whole, synced, verified and protected the blob; another may be faster."""
    try:
        blobs.adopt(lease, _path(lease.store, digest), digest)
    except FileNotFoundError:
        if blobs.size(lease.store, digest) is None:
            raise


def prune(store: Store, age: float = OLD) -> int:
    """Remove those that nobody is at and that are older than so many seconds; return their bytes.

    Raises OSError.
    """
    freed = 0
    for path in _all(store):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            status = os.fstat(fd)
            if time.time() - status.st_mtime >= age and take(fd):
                durable.remove(path)
                freed += status.st_size
        finally:
            os.close(fd)
    return freed


def size(store: Store) -> int:
    """Return the bytes of all."""
    total = 0
    for path in _all(store):
        try:
            total += os.stat(path).st_size
        except FileNotFoundError:
            continue
    return total


def _all(store: Store) -> Iterator[str]:
    if os.path.isdir(store.partial):
        for digest in blobs.digests_in(store.partial):
            yield _path(store, digest)


def _path(store: Store, digest: Digest) -> str:
    return f"{store.partial}/{digest.algorithm}/{digest.encoded}"


def _is(path: str, fd: int) -> bool:
    """Tell whether the file is still the one of that name: it may have become a blob."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False
