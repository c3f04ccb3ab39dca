"""A container's files with what is mounted among them: volumes, and folders of the host."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ferryman.errors import StoreError
from ferryman.rootfs import initial, namespace, syscalls
from ferryman.runtime import filesystem, record, resolv, volumes
from ferryman.runtime.record import Container, State
from ferryman.store.layout import Store


@contextmanager
def whole(store: Store, container: Container, state: State) -> Iterator[str]:
    """Give the path at which a container's files are, with its volumes, for the block.

    That is what is the container's own or was mounted at the user's wish: no ``/proc``, ``/dev``
    or tmpfs.  It is mounted for this process alone (which must have one thread, keeps the mounts to
    its end, and may find itself in another working folder).  Raises StoreError, and what
    `volumes.fill_new` raises.
    """
    at = f"{record.folder(store, container.id)}/merged"
    monitor = state.monitor.pid if state.up and state.monitor else None
    try:
        if monitor is None:
            rootfs = filesystem.ready(store, container)
            namespace.private_mounts()
            filesystem.mount(rootfs)
            volumes.fill_new(store, container, at)
        else:
            namespace.private_mounts()
            namespace.borrow(monitor, at, at)
        root = os.open(at, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for place, source in _mounted(store, container).items():
                _bring(root, place, source, monitor)
        finally:
            os.close(root)
    except OSError as e:
        raise StoreError(f"cannot mount {e.filename or at}: {e.strerror}") from None
    yield at


def _mounted(store: Store, container: Container) -> dict[str, str]:
    """Return what is mounted where, the outer before the inner."""
    bundle = f"{record.folder(store, container.id)}/bundle"
    found = {f"/etc/{name}": f"{bundle}/{name}" for name in resolv.FILES}
    found |= {point.destination: point.source for point in container.mounts if point.source}
    return dict(sorted(found.items(), key=lambda each: each[0].count("/")))


def _bring(root: int, place: str, source: str, monitor: int | None) -> None:
    """Mount a file or folder in a root; one that the monitor has is the same as it has there."""
    try:
        if os.path.isdir(source):
            at = initial.folder(root, place)
        else:
            at = syscalls.openat2(root, place, os.O_PATH, resolve=syscalls.RESOLVE_IN_ROOT)
    except (FileNotFoundError, NotADirectoryError):
        return  # no place for it: it has not been started yet, or has taken that away
    try:
        if monitor is not None:
            namespace.borrow(monitor, source, at, recursive=True)
        elif os.path.exists(source):
            flags = syscalls.MS_BIND | syscalls.MS_REC
            syscalls.mount(source, f"/proc/self/fd/{at}", "", flags)
    finally:
        os.close(at)
