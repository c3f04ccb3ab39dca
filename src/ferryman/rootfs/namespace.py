"""Mount namespaces (mount_namespaces(7)): mounts that go with the process that made them."""

import os

from ferryman.rootfs import syscalls


def private_mounts() -> None:
    """Give this process, which must have one thread, mounts of its own.

    What is mounted on the host later still shows here; nothing of what is mounted here shows on
    the host.  Raises OSError.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)


def hide(path: str) -> None:
    """Take a mount away from this process's view; raises OSError."""
    syscalls.umount(path, syscalls.MNT_DETACH)


def borrow(pid: int, path: str, at: str | int, *, recursive: bool = False) -> None:
    """Mount here what another process, with mounts of its own, has at a path: the same, no copy.

    `at` is a path, or a file or folder that is open.  With `recursive` what is mounted in there
    comes along.  This process must have one thread, and
    mounts of its own; its working folder becomes the root.  Raises OSError.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    theirs = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(theirs, syscalls.CLONE_NEWNS)
        try:
            borrowed = syscalls.open_tree(path, recursive=recursive)
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWNS)
    finally:
        os.close(own)
        os.close(theirs)
    try:
        syscalls.move_mount(borrowed, at)
    finally:
        os.close(borrowed)
