"""Mount namespaces (mount_namespaces(7)): mounts that go with the process that made them."""

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
