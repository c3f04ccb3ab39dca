"""An image's layers made ready to be mounted, each once for all images that have it.

::

    layers/<id>/lock         held by whoever makes something here
    layers/<id>/tree/        the layer unpacked, in overlay form
    layers/<id>/index.erofs  an EROFS image of its metadata, with the data left in the layer's tar:
    layers/<id>/layer.tar    that tar, where the blob in the store is compressed
    layers/<id>/mounted/     where the EROFS image is mounted, in private mount namespaces only
    layers/<id>/unsynced     in which start of the machine all this was made, until it is synced

Each appears whole, by a rename.  What is unsynced is not relied on after the machine has been
started anew: it is made again from the blob, which is safe on the disk.
"""

import os
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

from ferryman import parallel
from ferryman.archive import compression, intake
from ferryman.archive.stream import Bounded, FileStream
from ferryman.errors import InvalidImage, StoreError
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.rootfs import extract, merged, overlay
from ferryman.store import blobs
from ferryman.store.durable import remove
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


def ready(store: Store, lease: Lease, layers: Sequence[Layer], storage: str = "") -> list[Lower]:
    """Make layers mountable, as far as they are not, and return them, the lowest first.

    `storage` is ``erofs``, ``extract``, or empty for what serves best here.  A layer that an image
    has twice is there once: above itself it adds nothing.  Raises InvalidArchive, InvalidImage,
    StoreError.
    """
    ids = [(digests.parse(layer.digest), digests.parse(layer.diff_id)) for layer in layers]
    lease.protect(digest for pair in ids for digest in pair)
    last = {diff_id: n for n, (_, diff_id) in enumerate(ids)}
    wanted = [pair for n, pair in enumerate(ids) if last[pair[1]] == n]
    stop = threading.Event()
    return parallel.run([partial(_ready, lease, *pair) for pair in wanted], stop)


def mount(lower: Lower) -> str:
    """Return the folder with a layer's files, for overlay; EROFS is mounted there first.

    That is done in this process's own mount namespace.  Raises OSError.
    """
    return f"{lower.folder}/tree"


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
                os.rename(f"{store.layers}/{name}", f"{store.tmp}/layer-{name}")
                gone.append(diff_id)
    except OSError as e:
        raise StoreError(f"cannot clean the store {store.root}: {e.strerror}") from None
    for diff_id in gone:
        remove(f"{store.tmp}/layer-{Digest(diff_id).encoded}")
    return gone


def _ready(lease: Lease, digest: Digest, diff_id: Digest) -> Lower:
    folder = f"{lease.store.layers}/{diff_id.encoded}"
    lower = Lower(TREE, folder, "")
    if os.path.isdir(f"{folder}/tree"):
        return lower
    try:
        os.makedirs(folder, mode=0o711, exist_ok=True)
        with locked(f"{folder}/lock"):
            if not os.path.isdir(f"{folder}/tree"):
                _unpack(lease, digest, diff_id, f"{folder}/tree")
    except OSError as e:
        raise StoreError(f"cannot write to the store {lease.store.root}: {e.strerror}") from None
    return lower


def _unpack(lease: Lease, digest: Digest, diff_id: Digest, tree: str) -> None:
    what = f"layer {digest}"
    fd = blobs.open_blob(lease.store, digest)
    try:
        form = compression.recognise(os.pread(fd, compression.HEAD, 0))
        size = os.fstat(fd).st_size
        if form != "none":
            plain = Bounded(
                compression.decompressed(FileStream(fd, 0, size, what), form, what),
                intake.free_space(lease.store),
                what,
            )
            taken = intake.take(plain, None, lease, what)
            os.close(fd)
            fd = os.open(taken.path, os.O_RDONLY | os.O_CLOEXEC)
            os.unlink(taken.path)
            size = taken.size
            digest = taken.digest
        if digest != diff_id:
            raise InvalidImage(f"{what} unpacks to {digest}, not to {diff_id}")
        unfinished = lease.path()
        os.mkdir(unfinished, 0o700)
        extract.extract(merged.Layer(fd, size, what), unfinished, user=overlay.user_xattrs())
        os.rename(unfinished, tree)
    finally:
        os.close(fd)
