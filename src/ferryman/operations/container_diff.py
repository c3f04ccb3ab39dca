"""Diff: what a container has changed of its image's files."""

import os

from ferryman.rootfs import namespace
from ferryman.rootfs.difference import Change, changes
from ferryman.runtime import filesystem, record
from ferryman.store.layout import Store


def container_diff(store: Store, text: str) -> list[Change]:
    """Return the paths that a container has added, changed and removed, sorted.

    Raises ContainerNotFound, StoreError.
    """
    container = record.find(store, text)
    rootfs = filesystem.ready(store, container)
    namespace.private_mounts()
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    before = os.open(filesystem.mount_before(rootfs), flags)
    try:
        upper = os.open(f"{rootfs.folder}/upper", flags)
        try:
            return changes(upper, before)
        finally:
            os.close(upper)
    finally:
        os.close(before)
