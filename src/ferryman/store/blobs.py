"""Bytes by digest.

The contract: a name in ``blobs/`` is the digest of its content and is verified while it is
written; a blob appears whole or not at all; putting one that is there changes nothing.
"""

import os
from collections.abc import Iterator

from ferryman.errors import InvalidImage, StoreError
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.store.durable import sync_folder, write_all
from ferryman.store.layout import Store
from ferryman.store.lease import Lease


def size(store: Store, digest: Digest) -> int | None:
    """Return the size of a blob in bytes, or None when it is not here."""
    try:
        return os.stat(store.blob(digest)).st_size
    except FileNotFoundError:
        return None


def present(store: Store) -> Iterator[Digest]:
    """Yield the digest of every blob in the store."""
    return digests_in(os.path.dirname(store.blobs()))


def digests_in(folder: str) -> Iterator[Digest]:
    """Yield the digests, sorted, after which the files ``<algorithm>/<encoded>`` are named.

    Whatever has another name is not ours, and passed over.
    """
    for algorithm in sorted(os.listdir(folder)):
        if not os.path.isdir(f"{folder}/{algorithm}"):
            continue
        for encoded in sorted(os.listdir(f"{folder}/{algorithm}")):
            try:
                yield digests.parse(f"{algorithm}:{encoded}")
            except InvalidImage:
                continue


def open_blob(store: Store, digest: Digest) -> int:
    """Return a file descriptor to read a blob; raises StoreError when it is not here."""
    try:
        return os.open(store.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise StoreError(f"blob {digest} of the store {store.root}: {e.strerror}") from None


def read(store: Store, digest: Digest, limit: int) -> bytes:
    """Return a small blob whole, its digest checked anew.

    Raises StoreError when it is not here, larger than `limit` bytes, or damaged.
    """
    fd = open_blob(store, digest)
    try:
        content = b""
        while len(content) <= limit and (more := os.read(fd, limit + 1 - len(content))):
            content += more
    except OSError as e:
        raise StoreError(f"blob {digest} of the store {store.root}: {e.strerror}") from None
    finally:
        os.close(fd)
    if len(content) > limit:
        raise StoreError(f"blob {digest} is larger than the {limit} bytes it may have")
    running = digest.hasher()
    running.update(content)
    if running.hexdigest() != digest.encoded:
        raise StoreError(
            f"blob {digest} of the store {store.root} is damaged: run `ferry system check --repair`"
        )
    return content


def put(lease: Lease, content: bytes, algorithm: str = "sha256") -> Digest:
    """Store small content, protected by the lease, and return its digest."""
    running = digests.hasher(algorithm)
    running.update(content)
    digest = digests.finished(running, algorithm)
    lease.protect([digest])
    if size(lease.store, digest) != len(content):
        path = lease.path()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
        adopt(lease, path, digest)
    return digest


def adopt(lease: Lease, path: str, digest: Digest) -> None:
    """Make a finished, synced file of the lease's folder the blob of this digest.

    The caller has verified the digest, has protected it, and calls `sync` before it relies on the
    blob's name.
    """
    target = lease.store.blob(digest)
    try:
        os.rename(path, target)
    except FileNotFoundError:
        # The first blob of an algorithm other than sha256.
        os.makedirs(os.path.dirname(target), exist_ok=True)
        sync_folder(os.path.dirname(lease.store.blobs()))
        os.rename(path, target)


def sync(store: Store) -> None:
    """Make the names of all adopted blobs durable."""
    folder = os.path.dirname(store.blobs())
    for algorithm in os.listdir(folder):
        if os.path.isdir(f"{folder}/{algorithm}"):
            sync_folder(f"{folder}/{algorithm}")
