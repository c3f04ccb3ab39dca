"""A container's root filesystem: its image's layers below, what it has written on top.

The layers are made mountable once and for all (`ready`); the mounts themselves are made in the
mount namespace of whoever needs them (`mount`), and go with it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ferryman.errors import StoreError
from ferryman.rootfs import initial, lower, namespace, overlay
from ferryman.rootfs.made import Lower
from ferryman.runtime import record
from ferryman.runtime.record import Container, State
from ferryman.store.durable import remove
from ferryman.store.layout import Store
from ferryman.store.lease import hold


class Rootfs(NamedTuple):
    """What a root filesystem is to be mounted from, and where."""

    lowers: Sequence[Lower]
    """Lowest first."""
    folder: str
    """The container's, with ``upper``, ``work`` and ``merged`` in it."""

    @property
    def at(self) -> str:
        """Where it is to be mounted."""
        return f"{self.folder}/merged"

    @property
    def storage(self) -> str:
        """``erofs`` when layers are mounted where they lie, ``extract`` when they were unpacked."""
        return "erofs" if any(each.kind == "erofs" for each in self.lowers) else "extract"


def ready(store: Store, container: Container) -> Rootfs:
    """Make the layers of a container mountable, as far as they are not yet.

    Raises InvalidArchive, InvalidImage, StoreError.
    """
    layers = [lower.Layer(each.digest, each.size, each.diff_id) for each in container.layers]
    with hold(store) as lease:
        lowers = lower.ready(store, lease, layers, container.storage)
    return Rootfs(lowers, record.folder(store, container.id))


def mount(rootfs: Rootfs, *, read_only: bool = False) -> str:
    """Mount a root filesystem in this process's own mount namespace; return where.

    Raises StoreError.
    """
    _unmount(rootfs.at)
    try:
        overlay.mount_overlay(
            below(rootfs),
            f"{rootfs.folder}/upper",
            f"{rootfs.folder}/work",
            rootfs.at,
            read_only=read_only,
        )
    except OSError as e:
        needs = " (an ordinary user needs Linux 5.11 or later)" if namespace.ordinary() else ""
        said = f"cannot mount {e.filename or rootfs.at}: {e.strerror}{needs}"
        raise StoreError(said) from None
    return rootfs.at


def mount_before(rootfs: Rootfs) -> str:
    """Mount a root filesystem as it was before the container wrote to it, and return where.

    In this process's own mount namespace, read-only.  Raises StoreError.
    """
    _unmount(rootfs.at)
    try:
        overlay.mount_overlay(below(rootfs), None, None, rootfs.at, read_only=True)
    except OSError as e:
        raise StoreError(f"cannot mount {e.filename or rootfs.at}: {e.strerror}") from None
    return rootfs.at


def below(rootfs: Rootfs) -> list[str]:
    """Mount what is below that which a container writes, and return where, topmost first.

    Raises OSError.
    """
    lowers = [lower.mount(each) for each in rootfs.lowers]
    return [_initial(rootfs, lowers), *lowers[::-1]]


def _initial(rootfs: Rootfs, lowers: Sequence[str]) -> str:
    """Return the layer of what every container finds, made once for a container."""
    made = f"{rootfs.folder}/init"
    if os.path.isdir(made):
        return made
    upper, work = f"{made}.part", f"{made}.work"
    for folder in (upper, work):
        remove(folder)
        os.mkdir(folder, 0o755)
    overlay.mount_overlay(lowers[::-1], upper, work, rootfs.at)
    try:
        initial.complete(rootfs.at)
    finally:
        namespace.hide(rootfs.at)
    remove(work)
    os.rename(upper, made)
    return made


def unmount(store: Store, container: Container) -> None:
    """Take a root filesystem out of this process's mount namespace, if it is mounted there.

    That is so for what a monitor calls at the end: it shares the monitor's.
    """
    _unmount(f"{record.folder(store, container.id)}/merged")


def _unmount(at: str) -> None:
    if os.path.ismount(at):
        namespace.hide(at)


@contextmanager
def seen(store: Store, container: Container, state: State) -> Iterator[str]:
    """Give the path at which a container's files are, without its volumes, for the block.

    Of a container that runs, that is where its monitor has them; otherwise they are mounted here,
    for this process alone (which must have one thread, and keeps the mounts to its end).  Raises
    StoreError.
    """
    if state.up and state.monitor:
        yield f"/proc/{state.monitor.pid}/root{record.folder(store, container.id)}/merged"
        return
    rootfs = ready(store, container)
    namespace.private_mounts()
    yield mount(rootfs)
