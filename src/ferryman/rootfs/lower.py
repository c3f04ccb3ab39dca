"""An image's layers made ready to be mounted, each once for all images that have it.

::

    layers/<id>/lock         held by whoever makes something here
    layers/<id>/tree/        the layer unpacked, in overlay form
    layers/<id>/index.erofs  an EROFS image of its metadata, with the data left in the layer's tar:
    layers/<id>/layer.tar    that tar, where the blob in the store is not that already
    layers/<id>/mounted/     where the EROFS image is mounted, in private mount namespaces only

Each appears whole, by a rename, once it is on the disk.  Blobs that are the tar itself need not be
read for an index but for their headers: they were hashed when they came in (`archive/intake`).
"""

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ferryman import parallel
from ferryman.archive import compression, intake
from ferryman.archive.stream import Bounded, FileStream
from ferryman.errors import InvalidImage, StoreError
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.rootfs import erofs, erofs_mount, extract, members, overlay, syscalls
from ferryman.store import blobs, durable
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, collect_lock, protected
from ferryman.store.lock import locked

EROFS, TREE = "erofs", "tree"


class Layer(NamedTuple):
    """A layer of an image: its blob, the blob's size in bytes, and its diff ID."""

    digest: str
    size: int
    diff_id: str


class Lower(NamedTuple):
    """A layer that is ready to be mounted."""

    kind: str
    """``erofs``: to be mounted where its tar lies; ``tree``: unpacked."""
    folder: str
    """Of the layer, with all that was made of it."""
    tar: str
    """The path of the layer's tar, for EROFS."""


class _Wanted(NamedTuple):
    """A layer, and how it is to be had."""

    digest: Digest
    diff_id: Digest
    folder: str
    tar: str
    storage: str


def ready(store: Store, lease: Lease, layers: Sequence[Layer], storage: str = "") -> list[Lower]:
    """Make layers mountable, as far as they are not, and return them, the lowest first.

    `storage` is ``erofs``, ``extract``, or empty for what serves best here.  A layer that an image
    has twice is there once: above itself it adds nothing.  Raises InvalidArchive, InvalidImage,
    StoreError.
    """
    if storage == "erofs" and not erofs_mount.possible():
        raise StoreError("--storage erofs needs root and Linux 6.4: leave it out, or use extract")
    ids = [(digests.parse(layer.digest), digests.parse(layer.diff_id)) for layer in layers]
    lease.protect(digest for pair in ids for digest in pair)
    last = {diff_id: n for n, (_, diff_id) in enumerate(ids)}
    wanted = [_wanted(store, *pair, storage) for n, pair in enumerate(ids) if last[pair[1]] == n]
    there = {each: _there(each) for each in wanted}
    missing = [each for each, lower in there.items() if lower is None]
    made = parallel.run([partial(_make, lease, each) for each in missing], threading.Event())
    there.update(zip(missing, made, strict=True))
    return [lower for lower in there.values() if lower]


def mount(lower: Lower) -> str:
    """Return the folder with a layer's files, for overlay; EROFS is mounted there first.

    That is done in this process's own mount namespace.  Raises OSError.
    """
    if lower.kind == TREE:
        return f"{lower.folder}/tree"
    at = f"{lower.folder}/mounted"
    # The namespace may be a copy of one in which it is mounted already.
    if not os.path.ismount(at):
        fd = erofs_mount.mounted(f"{lower.folder}/index.erofs", lower.tar)
        try:
            syscalls.move_mount(fd, at)
        finally:
            os.close(fd)
    return at


def unused(store: Store, needed: Collection[str]) -> list[str]:
    """Return the diff IDs of the layers made mountable that nothing needs.

    `needed` are the diff IDs of all images and containers; what running operations hold is needed
    too.
    """
    try:
        there = os.listdir(store.layers)
    except FileNotFoundError:
        return []
    kept = {Digest(diff_id).encoded for diff_id in needed}
    kept |= {digest.encoded for digest in protected(store)}
    return [f"sha256:{name}" for name in sorted(there) if name not in kept]


def remove_unused(store: Store, needed: Callable[[], Collection[str]]) -> list[str]:
    """Remove the layers made mountable that nothing needs, and return their diff IDs.

    `needed` is asked after the leases have been read, as the collector does (see `store.collect`).
    Raises StoreError.
    """
    gone: list[str] = []
    try:
        with locked(collect_lock(store)):
            for diff_id in unused(store, needed()):
                name = Digest(diff_id).encoded
                durable.remove(f"{store.tmp}/layer-{name}")  # one that has died was at it before
                os.rename(f"{store.layers}/{name}", f"{store.tmp}/layer-{name}")
                gone.append(diff_id)
    except OSError as e:
        raise StoreError(f"cannot clean the store {store.root}: {e.strerror}") from None
    for diff_id in gone:
        durable.remove(f"{store.tmp}/layer-{Digest(diff_id).encoded}")
    return gone


def _wanted(store: Store, digest: Digest, diff_id: Digest, storage: str) -> _Wanted:
    folder = f"{store.layers}/{diff_id.encoded}"
    tar = store.blob(digest) if digest == diff_id else f"{folder}/layer.tar"
    return _Wanted(digest, diff_id, folder, tar, storage)


def _there(wanted: _Wanted) -> Lower | None:
    """Return a layer if it is ready, without more than a look at each file."""
    folder, tar = wanted.folder, wanted.tar
    if (
        wanted.storage != "extract"
        and erofs_mount.possible()
        and erofs.is_index_of(f"{folder}/index.erofs", tar)
    ):
        return Lower(EROFS, folder, tar)
    if wanted.storage != "erofs" and os.path.isdir(f"{folder}/tree"):
        return Lower(TREE, folder, tar)
    return None


def _make(lease: Lease, wanted: _Wanted) -> Lower:
    try:
        os.makedirs(wanted.folder, mode=0o711, exist_ok=True)
        with locked(f"{wanted.folder}/lock"):
            lower = _there(wanted)  # somebody may just have made it
            if lower is None:
                with _plain(lease, wanted) as (layer, tar):
                    lower = _indexed(lease, wanted, layer, tar) or _unpacked(lease, wanted, layer)
                durable.sync_folder(wanted.folder)
            return lower
    except OSError as e:
        raise StoreError(f"cannot write to the store {lease.store.root}: {e.strerror}") from None


@contextmanager
def _plain(lease: Lease, wanted: _Wanted) -> Iterator[tuple[members.Layer, str]]:
    """Give a layer's tar, and the path at which it is for now."""
    what = f"layer {wanted.digest}"
    path = wanted.tar
    if wanted.digest == wanted.diff_id:
        fd = blobs.open_blob(lease.store, wanted.digest)
    else:
        if not os.path.exists(path):
            path = _decompressed(lease, wanted, what)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield members.Layer(fd, os.fstat(fd).st_size, what), path
    finally:
        os.close(fd)
        if path != wanted.tar:
            durable.remove(path)


def _decompressed(lease: Lease, wanted: _Wanted, what: str) -> str:
    """Write a layer's tar to the lease and return its path; it is on the disk, and checked."""
    fd = blobs.open_blob(lease.store, wanted.digest)
    try:
        form = compression.recognise(os.pread(fd, compression.HEAD, 0))
        stored = FileStream(fd, 0, os.fstat(fd).st_size, what)
        plain = compression.decompressed(stored, form, what)
        room = intake.free_space(lease.store)
        algorithm = wanted.diff_id.algorithm
        taken = intake.take(Bounded(plain, room, what), None, lease, what, algorithm=algorithm)
    finally:
        os.close(fd)
    if taken.digest != wanted.diff_id:
        raise InvalidImage(f"{what} unpacks to {taken.digest}, not to {wanted.diff_id}")
    return taken.path


def _indexed(lease: Lease, wanted: _Wanted, layer: members.Layer, tar: str) -> Lower | None:
    """Make a layer mountable where it lies; return None when it has to be unpacked instead."""
    if wanted.storage == "extract" or not erofs_mount.possible():
        return None
    index = lease.path()
    try:
        _write_index(layer, index, tar)
    except erofs.NotMountable as e:
        durable.remove(index)
        if wanted.storage == "erofs":
            raise StoreError(f"{layer.what} cannot be mounted where it lies: {e}") from None
        return None
    if tar != wanted.tar:
        os.rename(tar, wanted.tar)
    os.makedirs(f"{wanted.folder}/mounted", mode=0o755, exist_ok=True)
    os.rename(index, f"{wanted.folder}/index.erofs")
    return Lower(EROFS, wanted.folder, wanted.tar)


def _write_index(layer: members.Layer, index: str, tar: str) -> None:
    fd = os.open(index, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        erofs.write_index(layer, fd)
        os.fsync(fd)
    finally:
        os.close(fd)
    # Only this tells whether the kernel has EROFS, and loop devices of files in this place.
    try:
        os.close(erofs_mount.mounted(index, tar))
    except OSError as e:
        raise erofs.NotMountable(e.strerror) from None


def _unpacked(lease: Lease, wanted: _Wanted, layer: members.Layer) -> Lower:
    unfinished = lease.path()
    os.mkdir(unfinished, 0o700)
    extract.extract(layer, unfinished, user=overlay.user_xattrs())
    fd = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syscalls.syncfs(fd)
    finally:
        os.close(fd)
    os.rename(unfinished, f"{wanted.folder}/tree")
    return Lower(TREE, wanted.folder, wanted.tar)
