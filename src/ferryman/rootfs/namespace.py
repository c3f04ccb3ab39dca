"""Namespaces of this process (namespaces(7)): mounts that go with it, and the powers it has."""

import os

from ferryman.rootfs import syscalls


def ordinary() -> bool:
    """Tell whether this process has no more than an ordinary user's powers over the machine.

    It may still be root of a user namespace (user_namespaces(7)).
    """
    if os.geteuid() != 0:
        return True
    with open("/proc/self/uid_map", "rb") as f:
        return f.read().split() != [b"0", b"0", b"4294967295"]


def beyond(uid: int, gid: int) -> str:
    """Return the words for the IDs that this user namespace has not got, empty where it has."""
    for what, number, file in (("user", uid, "uid"), ("group", gid, "gid")):
        with open(f"/proc/self/{file}_map", "rb") as f:
            ranges = [list(map(int, line.split())) for line in f]
        if not any(first <= number < first + count for first, _, count in ranges):
            return f"the {what} ID {number} is beyond those that /etc/sub{file} gives you"
    return ""


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


def cover(path: str) -> None:
    """Have this process see an empty folder in the place of a mount; raises OSError.

    Those that a user namespace has found cannot be taken away there.
    """
    syscalls.mount("none", path, "tmpfs")


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
