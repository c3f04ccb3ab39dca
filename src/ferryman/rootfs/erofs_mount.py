"""A layer's tar mounted where it lies, by the index that `erofs` writes."""

import os
from functools import cache

from ferryman.rootfs import loop, overlay, syscalls

_FROM = (6, 4)
"""The first Linux whose EROFS takes blocks of 512 bytes."""


@cache
def possible() -> bool:
    """Tell whether to try at all: this process may mount layers, and the kernel is new enough.

    Loop devices and EROFS itself take root of the machine, not of a user namespace.
    """
    release = os.uname().release.split("-")[0].split(".")
    version = tuple(int(part) for part in release[:2] if part.isdigit())
    return not overlay.user_xattrs() and version >= _FROM


def mounted(index: str, tar: str, folder: str) -> int:
    """Return the descriptor of a mount of a layer, nowhere as yet (`syscalls.move_mount`).

    The loop devices of the two files are shared with all other mounts of them, and last as long as
    the mounts do; which they are is noted in `folder`.  Raises OSError, with the kernel's words.
    """
    with (
        loop.opened(index, f"{folder}/index.loop") as device,
        loop.opened(tar, f"{folder}/tar.loop") as data,
    ):
        fd = syscalls.fsopen("erofs")
        try:
            syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_FLAG, "ro")
            syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_STRING, "source", device)
            syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_STRING, "device", data)
            syscalls.fsconfig(fd, syscalls.FSCONFIG_CMD_CREATE)
            return syscalls.fsmount(fd, syscalls.MOUNT_ATTR_RDONLY)
        finally:
            os.close(fd)
