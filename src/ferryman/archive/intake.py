"""Taking blobs in: read once, hashed while they are written, verified before they get their name.

A hash runs in a thread of its own (hashlib gives the interpreter's lock back), so one blob keeps
two cores busy: one hashes what the other reads and writes.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import NamedTuple

from ferryman.archive import compression
from ferryman.archive.stream import CHUNK, Bounded, Counted, Limited, RewoundStream, Stream
from ferryman.errors import InvalidArchive, StoreError
from ferryman.image import digest as digests
from ferryman.image.digest import Digest, Hash
from ferryman.store.durable import write_all, write_back
from ferryman.store.layout import Store
from ferryman.store.lease import Lease

Advance = Callable[[int], None]
"""Called with every number of bytes read; it may raise to stop the work."""

_BUFFERS = 4
_WRITE_BACK = 8 << 20
# What is only looked at takes no room, but time.
_MAX_UNPACKED = 1 << 40


class Taken(NamedTuple):
    """A blob that lies, synced, in the folder of a lease, under a path until it is adopted."""

    path: str
    digest: Digest
    size: int
    compression: str = "none"
    diff_id: Digest | None = None
    uncompressed_size: int = 0


class Begun(NamedTuple):
    """A file that has the first bytes of a blob already, and is to get the others."""

    path: str
    fd: int
    """Open for writing at its end, and left open."""
    size: int


def nothing(_: int) -> None:
    """Take no notice of progress."""


def plain(
    store: Store, stream: Stream, what: str, advance: Advance = nothing
) -> tuple[Stream, Advance]:
    """Return a stream without its compression, and who is still to be told of its bytes.

    What it grows to is limited by the store's free space.  Raises InvalidArchive.
    """
    head = stream.read(compression.HEAD)
    form = compression.recognise(head)
    whole: Stream = RewoundStream(head, stream)
    if form == "none":
        return whole, advance
    inner = compression.decompressed(Counted(whole, advance), form, what)
    return Bounded(inner, free_space(store), what), nothing


def take(
    stream: Stream,
    size: int | None,
    lease: Lease | None,
    what: str,
    *,
    algorithm: str = "sha256",
    advance: Advance = nothing,
    watch: Callable[[memoryview], None] | None = None,
    begun: Begun | None = None,
) -> Taken:
    """Write `size` bytes of a stream (all, when None) to a new file of the lease.

    Without a lease they are looked at and not kept.  `watch` sees each piece as it goes by.  With
    `begun` it is that file: the stream still has all bytes, of which the first are there.  Raises
    InvalidArchive, with `what` as the subject, when the stream ends early, and StoreError when the
    store has no room.
    """
    if lease is None:
        running, done = _pump(stream, size, None, algorithm, advance, watch)
        return _whole("", running, algorithm, done, size, what)
    if size is not None:
        check_room(lease.store, size - (begun.size if begun else 0), what)
    try:
        with _writing(lease, begun) as (path, fd, skip):
            running, done = _pump(stream, size, fd, algorithm, advance, watch, skip)
            os.fdatasync(fd)
    except OSError as e:
        raise _cannot_write(lease.store, what, e) from None
    return _whole(path, running, algorithm, done, size, what)


def _whole(
    path: str, running: Hash, algorithm: str, done: int, size: int | None, what: str
) -> Taken:
    if size is not None and done < size:
        raise InvalidArchive(f"{what} is truncated: {done} of {size} bytes are there")
    return Taken(path, digests.finished(running, algorithm), done)


def take_layer(
    stream: Stream,
    size: int,
    lease: Lease | None,
    what: str,
    *,
    algorithm: str = "sha256",
    advance: Advance = nothing,
    unpack: bool = True,
    begun: Begun | None = None,
) -> Taken:
    """Write a layer to the lease, as it is, and find out its diff ID on the way.

    Without a lease it is looked at and not kept.  `begun` is as for `take`; a layer that is to be
    written uncompressed cannot be begun.

    A layer that is compressed in a way for which there is no media type is written uncompressed;
    or, without `unpack`, as it is and without a diff ID.  Raises InvalidArchive, StoreError.
    """
    head = stream.read(min(size, compression.HEAD))
    form = compression.recognise(head)
    whole = RewoundStream(head, stream)
    if form == "none":
        # Diff IDs are sha256 in practice, whatever the blob itself goes by.
        other = digests.hasher() if algorithm != "sha256" else None
        watch = other.update if other else None
        taken = take(
            whole,
            size,
            lease,
            what,
            algorithm=algorithm,
            advance=advance,
            watch=watch,
            begun=begun,
        )
        diff_id = digests.finished(other) if other else taken.digest
        return taken._replace(diff_id=diff_id, uncompressed_size=taken.size)
    room = free_space(lease.store) if lease else _MAX_UNPACKED
    if form not in ("gzip", "zstd"):
        if not unpack:
            return take(whole, size, lease, what, algorithm=algorithm, advance=advance, begun=begun)
        if lease:
            check_room(lease.store, size, what)
        plain = compression.decompressed(Counted(Limited(whole, size), advance), form, what)
        taken = take(Bounded(plain, room, what), None, lease, what)
        return taken._replace(diff_id=taken.digest, uncompressed_size=taken.size)
    # The compressed bytes go to the disk as the decompressor asks for them; what it makes of them
    # is only hashed.
    with _Tee(whole, size, lease, what, algorithm, advance, begun) as tee:
        plain = Bounded(compression.decompressed(tee, form, what), room, what)
        running, uncompressed = _pump(plain, None, None, "sha256", nothing, None)
        taken = tee.finish()
    return taken._replace(
        compression=form,
        diff_id=digests.finished(running),
        uncompressed_size=uncompressed,
    )


def free_space(store: Store) -> int:
    """Return the bytes that the store's filesystem still has room for."""
    room = os.statvfs(store.tmp)
    return room.f_bavail * room.f_frsize


def check_room(store: Store, size: int, what: str) -> None:
    """Raise StoreError when something is larger than what the store has room for."""
    if size > (room := free_space(store)):
        raise StoreError(
            f"no room for {what} in the store {store.root}: it says it has {size} bytes, "
            f"{room} are free"
        )


def _cannot_write(store: Store, what: str, error: OSError) -> StoreError:
    return StoreError(f"cannot write {what} to the store {store.root}: {error.strerror}")


def _pump(
    stream: Stream,
    size: int | None,
    fd: int | None,
    algorithm: str,
    advance: Advance,
    watch: Callable[[memoryview], None] | None,
    skip: int = 0,
) -> tuple[Hash, int]:
    """Read to the end (or `size`), hash, write if there is where to; return hash and length.

    The first `skip` bytes are written already.
    """
    running = digests.hasher(algorithm)
    if size is not None and size <= CHUNK:
        content = stream.read(size)
        running.update(content)
        if fd is not None:
            write_all(fd, memoryview(content)[skip:])
        if watch:
            watch(memoryview(content))
        advance(len(content))
        return running, len(content)
    free: SimpleQueue[bytearray] = SimpleQueue()
    full: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
    for _ in range(_BUFFERS):
        free.put(bytearray(CHUNK))

    def hash_all() -> None:
        while item := full.get():
            running.update(memoryview(item[0])[: item[1]])
            free.put(item[0])

    hashing = threading.Thread(target=hash_all, name="hash", daemon=True)
    hashing.start()
    done = flushed = 0
    try:
        while size is None or done < size:
            buffer = free.get()
            view = memoryview(buffer)
            if size is not None and size - done < CHUNK:
                view = view[: size - done]
            n = stream.readinto(view)
            if not n:
                break
            full.put((buffer, n))
            if fd is not None:
                write_all(fd, view[:n][max(0, skip - done) :])
            if watch:
                watch(view[:n])
            done += n
            if fd is not None and done - flushed >= _WRITE_BACK:
                write_back(fd, flushed, done - flushed)
                flushed = done
            advance(n)
    finally:
        full.put(None)
        hashing.join()
    return running, done


@contextmanager
def _writing(lease: Lease, begun: Begun | None) -> Iterator[tuple[str, int, int]]:
    """Give a file to write to: its path, its descriptor, and how much of it is there."""
    if begun:
        yield begun
        return
    path = lease.path()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        yield path, fd, 0
    finally:
        os.close(fd)


class _Tee(Stream):
    """A stream that hashes all that is read from it, and writes it if there is where to."""

    def __init__(
        self,
        stream: Stream,
        size: int,
        lease: Lease | None,
        what: str,
        algorithm: str,
        advance: Advance,
        begun: Begun | None,
    ) -> None:
        super().__init__()
        self._stream = stream
        self._size = size
        self._lease = lease
        self._what = what
        self._algorithm = algorithm
        self._advance = advance
        self._hash = digests.hasher(algorithm)
        self._writing = ExitStack()
        self._path = ""
        self._fd: int | None = None
        self._skip = 0
        if lease is None:
            return
        check_room(lease.store, size - (begun.size if begun else 0), what)
        try:
            file = self._writing.enter_context(_writing(lease, begun))
        except OSError as e:
            raise _cannot_write(lease.store, what, e) from None
        self._path, self._fd, self._skip = file

    def __enter__(self) -> "_Tee":
        return self

    def __exit__(self, *_: object) -> None:
        self._writing.close()

    def readinto(self, view: memoryview) -> int:
        n = self._stream.readinto(view[: max(0, self._size - self._at)])
        there, self._at = max(0, self._skip - self._at), self._at + n
        self._hash.update(view[:n])
        if self._lease and self._fd is not None:
            try:
                write_all(self._fd, view[:n][there:])
            except OSError as e:
                raise _cannot_write(self._lease.store, self._what, e) from None
        self._advance(n)
        return n

    def finish(self) -> Taken:
        """Take in what the decompressor did not ask for, and return the blob."""
        while self.read(CHUNK):
            continue
        if self._at < self._size:
            raise InvalidArchive(
                f"{self._what} is truncated: {self._at} of {self._size} bytes are there"
            )
        if self._lease and self._fd is not None:
            try:
                os.fdatasync(self._fd)
            except OSError as e:
                raise _cannot_write(self._lease.store, self._what, e) from None
        return Taken(self._path, digests.finished(self._hash, self._algorithm), self._at)
