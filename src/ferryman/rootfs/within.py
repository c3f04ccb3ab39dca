"""Files of a root filesystem that is not to be trusted, without ever leaving it.

The names and links in it mean what they mean to whoever has it as ``/``: an absolute link begins
there, and ``..`` at the top stays there.
"""

import errno
import os
import posixpath
import stat
from typing import NamedTuple

from ferryman.rootfs import syscalls

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MAX_LINKS = 40  # as the kernel has it


class Spot(NamedTuple):
    """A name in an open folder of a root, "." for the folder itself, and what is there."""

    folder: int
    name: str
    path: str
    """From the root, without links on the way."""
    status: os.stat_result | None
    """None when nothing is there yet."""

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder: no link to one."""
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)


def read(root: str, path: str, limit: int) -> bytes:
    """Return the content of a regular file, at most `limit` bytes of it.

    Raises OSError, also when it is anything but a regular file: opening others may have effects,
    or wait for somebody.
    """
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = syscalls.openat2(top, path, os.O_PATH, resolve=syscalls.RESOLVE_IN_ROOT)
    finally:
        os.close(top)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        with open(f"/proc/self/fd/{found}", "rb") as f:
            return f.read(limit)
    finally:
        os.close(found)


def find(root: int, path: str, *, follow: bool) -> Spot:
    """Find what is at a path below an open root.

    A link there is itself, unless `follow` is set or the path ends in ``/`` or ``/.``.  Raises
    OSError.
    """
    parent, name = posixpath.split(path)
    if follow or name in ("", ".", ".."):
        return _opened(root, _open(root, path, os.O_PATH | os.O_CLOEXEC))
    folder = _open(root, parent, _FOLDER)
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return Spot(folder, name, posixpath.join(_path(root, folder), name), status)


def find_new(root: int, path: str) -> Spot:
    """Find a place to write to: links are followed, and only the last name may be missing.

    A link to nothing stands for what it leads to.  Raises OSError.
    """
    for _ in range(_MAX_LINKS):
        try:
            return find(root, path, follow=True)
        except FileNotFoundError:
            if path.endswith("/."):
                raise
        parent, name = posixpath.split(path.rstrip("/"))
        folder = _open(root, parent, _FOLDER)
        at = _path(root, folder)
        try:
            path = posixpath.join(at, os.readlink(name, dir_fd=folder)).rstrip("/")
        except FileNotFoundError:
            return Spot(folder, name, posixpath.join(at, name), None)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _opened(root: int, fd: int) -> Spot:
    """Return where an open file is."""
    status = os.fstat(fd)
    path = _path(root, fd)
    if stat.S_ISDIR(status.st_mode):
        return Spot(fd, ".", path, status)
    os.close(fd)
    parent, name = posixpath.split(path)
    folder = _open(root, parent, _FOLDER)
    if not os.path.samestat(status, os.stat(name, dir_fd=folder, follow_symlinks=False)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return Spot(folder, name, path, status)


def _path(root: int, fd: int) -> str:
    top, path = os.readlink(f"/proc/self/fd/{root}"), os.readlink(f"/proc/self/fd/{fd}")
    return path.removeprefix(top.rstrip("/")) or "/"


def _open(root: int, path: str, flags: int) -> int:
    return syscalls.openat2(root, path or "/", flags, resolve=syscalls.RESOLVE_IN_ROOT)
