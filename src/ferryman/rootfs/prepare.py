"""Layers made mountable for the first time: indexed where they lie, or unpacked.

A blob that is the layer's tar is not hashed again: it was when it came in (`archive/intake`), and
its name is the diff ID.  So the first run after a load costs no more than reading its headers.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from ferryman import parallel
from ferryman.archive import compression, intake
from ferryman.archive.stream import Bounded, FileStream
from ferryman.errors import InvalidImage, StoreError
from ferryman.rootfs import erofs, erofs_mount, extract, members, overlay, syscalls
from ferryman.rootfs.made import EROFS, TREE, Lower, Wanted, there
from ferryman.store import blobs, durable
from ferryman.store.lease import Lease
from ferryman.store.lock import locked


def make(lease: Lease, layers: Sequence[Wanted]) -> list[Lower]:
    """Make layers mountable, which the lease protects; whoever does so at once, waits.

    Raises InvalidArchive, InvalidImage, StoreError.
    """
    return parallel.run([partial(_make, lease, each) for each in layers], threading.Event())


def _make(lease: Lease, wanted: Wanted) -> Lower:
    try:
        os.makedirs(wanted.folder, mode=0o711, exist_ok=True)
        with locked(f"{wanted.folder}/lock"):
            lower = there(wanted)  # somebody may just have made it
            if lower is None:
                with _plain(lease, wanted) as (layer, tar):
                    lower = _indexed(lease, wanted, layer, tar) or _unpacked(lease, wanted, layer)
                durable.sync_folder(wanted.folder)
            return lower
    except OSError as e:
        raise StoreError(f"cannot write to the store {lease.store.root}: {e.strerror}") from None


@contextmanager
def _plain(lease: Lease, wanted: Wanted) -> Iterator[tuple[members.Layer, str]]:
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


def _decompressed(lease: Lease, wanted: Wanted, what: str) -> str:
    """Write a layer's tar to the lease and return its path; it is on the disk, and checked."""
    fd = blobs.open_blob(lease.store, wanted.digest)
    try:
        form = compression.of_file(fd)
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


def _indexed(lease: Lease, wanted: Wanted, layer: members.Layer, tar: str) -> Lower | None:
    """Make a layer mountable where it lies; return None when it has to be unpacked instead."""
    if wanted.storage == "extract" or not erofs_mount.possible():
        return None
    index = lease.path()
    try:
        _write_index(layer, index, tar, wanted.folder)
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


def _write_index(layer: members.Layer, index: str, tar: str, folder: str) -> None:
    fd = os.open(index, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        erofs.write_index(layer, fd)
        os.fsync(fd)
    finally:
        os.close(fd)
    # Only this tells whether the kernel has EROFS, and loop devices of files in this place.
    try:
        os.close(erofs_mount.mounted(index, tar, folder))
    except OSError as e:
        raise erofs.NotMountable(e.strerror) from None


def _unpacked(lease: Lease, wanted: Wanted, layer: members.Layer) -> Lower:
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
