"""An image's layers made ready to be mounted, each once for all images that have it (`made`)."""

import errno
import os
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from ferryman.errors import StoreError
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.rootfs import erofs_mount, syscalls
from ferryman.rootfs.made import EROFS, TREE, Lower, Wanted, there
from ferryman.store import durable
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, collect_lock, protected
from ferryman.store.lock import locked

_REFUSED = (errno.EUCLEAN, errno.EINVAL, errno.EOPNOTSUPP)


class Layer(NamedTuple):
    """A layer of an image: its blob, the blob's size in bytes, and its diff ID."""

    digest: str
    size: int
    diff_id: str


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
    found = {each: there(each) for each in wanted}
    if missing := [each for each, lower in found.items() if lower is None]:
        from ferryman.rootfs import prepare  # what has been made once needs none of that

        found.update(zip(missing, prepare.make(lease, missing), strict=True))
    return [lower for lower in found.values() if lower]


def mount(lower: Lower) -> str:
    """Return the folder with a layer's files, for overlay; EROFS is mounted there first.

    That is done in this process's own mount namespace.  Raises OSError.
    """
    if lower.kind == TREE:
        return f"{lower.folder}/tree"
    at = f"{lower.folder}/mounted"
    # The namespace may be a copy of one in which it is mounted already.
    if not os.path.ismount(at):
        index = f"{lower.folder}/index.erofs"
        try:
            fd = erofs_mount.mounted(index, lower.tar, lower.folder)
        except OSError as e:
            if e.errno in _REFUSED:
                os.unlink(index)  # it was good when it was made: the next start makes another
            raise OSError(e.errno, e.strerror, index) from None
        try:
            syscalls.move_mount(fd, at)
        finally:
            os.close(fd)
    return at


def folder_of(store: Store, diff_id: str) -> str:
    """Return the path of the folder with what is made of a layer."""
    return f"{store.layers}/{digests.parse(diff_id).encoded}"


def tar_of(store: Store, digest: str, diff_id: str) -> str | None:
    """Return the path of a layer's tar, of which a file system makes nothing else than it says.

    None where that is not known: where the layer is not mounted where it lies.
    """
    wanted = _wanted(store, digests.parse(digest), digests.parse(diff_id), EROFS)
    return wanted.tar if there(wanted) else None


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


def _wanted(store: Store, digest: Digest, diff_id: Digest, storage: str) -> Wanted:
    folder = f"{store.layers}/{diff_id.encoded}"
    tar = store.blob(digest) if digest == diff_id else f"{folder}/layer.tar"
    return Wanted(digest, diff_id, folder, tar, storage)
