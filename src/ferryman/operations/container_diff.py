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
    below = filesystem.below(rootfs)
    upper = os.open(f"{rootfs.folder}/upper", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return changes(upper, below)
    finally:
        os.close(upper)
