"""Overlay mounts: layers as one tree (Documentation/filesystems/overlayfs in the kernel)."""

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache

from ferryman.rootfs import namespace, syscalls

# What a layer's difference is read from must not depend on the kernel's own defaults; and files
# of all layers are on one filesystem, for whom looks at the numbers, wherever they really are.
_PLAIN = {"redirect_dir": "off", "metacopy": "off", "index": "off", "xino": "auto"}


@cache
def user_xattrs() -> bool:
    """Tell whether overlay's own attributes are ``user.overlay.`` here, not ``trusted.overlay.``.

    That is so wherever this process is not root of the machine itself: trusted attributes are
    closed to it.
    """
    return namespace.ordinary()


def mount_overlay(
    lowers: Sequence[str],
    upper: str | None,
    work: str | None,
    at: str,
    *,
    read_only: bool = False,
) -> None:
    """Mount layers, the topmost first, as one tree; what is written there goes to `upper`.

    Without `upper` the tree can only be read.  Raises OSError with the kernel's words.
    """
    if upper is None and len(lowers) == 1:
        _bind(lowers[0], at)
        return
    # What a backslash means in the name of an upper folder depends on the kernel.
    if "\\" not in f"{upper}{work}":
        try:
            _mount_new(lowers, upper, work, at, read_only)
            return
        except OSError as e:
            if e.errno not in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
                raise
    _mount_old(lowers, upper, work, at, read_only)


def _bind(folder: str, at: str) -> None:
    """Show one layer alone, which overlay refuses when nothing is to be written."""
    syscalls.mount(folder, at, "", syscalls.MS_BIND)
    syscalls.mount("none", at, "", syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)


def _mount_new(
    lowers: Sequence[str], upper: str | None, work: str | None, at: str, read_only: bool
) -> None:
    """Mount with one call for each option: no limit to their length (Linux 6.8 and later)."""
    fd = syscalls.fsopen("overlay")
    try:
        syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_STRING, "source", "overlay")
        for path in lowers:
            syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_STRING, "lowerdir+", path)
        if upper is not None and work is not None:
            syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_STRING, "upperdir", upper)
            syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_STRING, "workdir", work)
        for key, value in _options().items():
            if value is None:
                syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_FLAG, key)
            else:
                syscalls.fsconfig(fd, syscalls.FSCONFIG_SET_STRING, key, value)
        syscalls.fsconfig(fd, syscalls.FSCONFIG_CMD_CREATE)
        mounted = syscalls.fsmount(fd, syscalls.MOUNT_ATTR_RDONLY if read_only else 0)
        try:
            syscalls.move_mount(mounted, at)
        finally:
            os.close(mounted)
    finally:
        os.close(fd)


def _mount_old(
    lowers: Sequence[str], upper: str | None, work: str | None, at: str, read_only: bool
) -> None:
    """Mount with all options in one page: folders go by their descriptors, which are short."""
    with ExitStack() as stack:

        def short(path: str) -> str:
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            return f"/proc/self/fd/{fd}"

        options = ["lowerdir=" + ":".join(map(short, lowers))]
        if upper is not None and work is not None:
            options += [f"upperdir={short(upper)}", f"workdir={short(work)}"]
        for key, value in _options().items():
            options.append(key if value is None else f"{key}={value}")
        flags = syscalls.MS_RDONLY if read_only else 0
        syscalls.mount("overlay", at, "overlay", flags, ",".join(options))


def _options() -> dict[str, str | None]:
    return {"userxattr": None} if user_xattrs() else {**_PLAIN}
