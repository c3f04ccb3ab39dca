"""Leases: what a running operation relies on, kept from the collector until it ends.

A lease is a file in ``meta/leases`` that its process keeps locked, with one digest a line, and a
folder of the same name in ``tmp`` for all that is unfinished.  When the process dies, however it
dies, the kernel drops the lock and whoever comes next clears both away.

The contract, with `collect`:

1. A blob whose digest was written to a lease *before* its presence was looked at stays until the
   lease ends.  Both happen under the shared collect lock; the collector holds it exclusively.
2. A lease ends only after the index that names its blobs has been replaced, or never will be.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ferryman.errors import InvalidImage, StoreError
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.store.durable import remove, write_all
from ferryman.store.layout import Store
from ferryman.store.lock import locked, take


class Lease:
    """A running operation's hold on blobs, and its own folder for what is unfinished."""

    def __init__(self, store: Store, name: str, fd: int) -> None:
        """Take over the locked file of a lease; use `hold` to get one."""
        self.store = store
        self.folder = f"{store.tmp}/{name}"
        self.held: set[Digest] = set()
        self._fd = fd
        self._count = 0

    def protect(self, digests: Iterable[Digest]) -> None:
        """Keep these blobs, if they are here or will be, until the lease ends.

        Raises StoreError when the store cannot be written.
        """
        new = set(digests) - self.held
        text = "".join(f"{digest}\n" for digest in new).encode()
        if not text:
            return
        try:
            with locked(collect_lock(self.store), shared=True):
                write_all(self._fd, text)
        except OSError as e:
            raise _cannot_write(self.store, e) from None
        self.held |= new

    def path(self) -> str:
        """Return a fresh name for something unfinished."""
        self._count += 1
        return f"{self.folder}/{self._count}-{os.urandom(4).hex()}"


@contextmanager
def hold(store: Store) -> Iterator[Lease]:
    """Hold a lease for as long as the block runs.

    Raises StoreError when the store cannot be written.
    """
    name = os.urandom(8).hex()
    path = f"{store.leases}/{name}"
    try:
        with locked(collect_lock(store), shared=True):
            os.mkdir(f"{store.tmp}/{name}", 0o700)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as e:
        raise _cannot_write(store, e) from None
    try:
        yield Lease(store, name, fd)
    finally:
        for unfinished in os.listdir(f"{store.tmp}/{name}"):
            remove(f"{store.tmp}/{name}/{unfinished}")
        os.rmdir(f"{store.tmp}/{name}")
        remove(path)
        os.close(fd)


def _cannot_write(store: Store, error: OSError) -> StoreError:
    return StoreError(f"cannot write to the store {store.root}: {error.strerror}")


@contextmanager
def hold_if_writable(store: Store) -> Iterator[Lease | None]:
    """Hold a lease for a reader: where the store cannot be written, nobody can collect either."""
    if not os.access(store.leases, os.W_OK):
        yield None
        return
    with hold(store) as lease:
        yield lease


@contextmanager
def reading(store: Store) -> Iterator[None]:
    """Keep the collector away while images are looked up, so that what the index names is there.

    Where the lock cannot be opened the store cannot be written, and nobody can collect either.
    """
    try:
        fd = os.open(collect_lock(store), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def protected(store: Store) -> set[Digest]:
    """Return all digests that live leases hold."""
    held: set[Digest] = set()
    for name in os.listdir(store.leases):
        with _opened(f"{store.leases}/{name}") as fd:
            if fd is not None and not take(fd, shared=True):
                held.update(_digests(fd))
    return held


def clear_dead(store: Store) -> set[Digest]:
    """Remove what processes that have died left unfinished; return what they had relied on.

    The caller has the collect lock exclusively.
    """
    orphaned: set[Digest] = set()
    live: set[str] = set()
    for name in os.listdir(store.leases):
        path = f"{store.leases}/{name}"
        with _opened(path) as fd:
            if fd is None:
                continue
            if not take(fd, shared=True):
                live.add(name)
                continue
            orphaned.update(_digests(fd))
            remove(f"{store.tmp}/{name}")
            remove(path)
    for name in os.listdir(store.tmp):
        if name not in live:
            remove(f"{store.tmp}/{name}")
    return orphaned


@contextmanager
def _opened(path: str) -> Iterator[int | None]:
    """Open a lease's file; give None when it has just ended.

    To be read only: that is enough to find out whether its process lives, in a store that cannot
    be written too.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _digests(fd: int) -> Iterator[Digest]:
    content = os.pread(fd, os.fstat(fd).st_size, 0)
    for line in content.decode("ascii", "replace").splitlines():
        # A line is written whole under the lock, so only damage from outside can break one.
        try:
            yield digests.parse(line)
        except InvalidImage:
            continue


def collect_lock(store: Store) -> str:
    """Return the lock between leases and the collector."""
    return f"{store.meta}/collect.lock"
