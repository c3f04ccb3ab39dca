"""What every container finds although its image has not got it: docker's "init layer".

Mount points for what the runtime brings, and marks by which programs know that they are in a
container.  They are a layer between the image and what the container writes, so that neither
``diff`` nor ``commit`` sees them.
"""

import os
from contextlib import suppress

from ferryman.rootfs import syscalls

_FOLDERS = ("/dev/pts", "/dev/shm", "/proc", "/sys")
_FILES = ("/.dockerenv", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/dev/console")
_LINKS = {"/etc/mtab": "/proc/mounts"}
_MODE = 0o755


def complete(root: str) -> None:
    """Make what is missing in a root filesystem, which may be hostile; raises OSError."""
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in _FOLDERS:
            os.close(folder(top, path))
        for path in (*_FILES, *_LINKS):
            parent, _, name = path.rpartition("/")
            above = folder(top, parent)
            try:
                with suppress(FileExistsError):
                    if path in _LINKS:
                        os.symlink(_LINKS[path], name, dir_fd=above)
                    else:
                        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                        os.close(os.open(name, flags, _MODE, dir_fd=above))
            finally:
                os.close(above)
    finally:
        os.close(top)


def folder(top: int, path: str) -> int:
    """Open a folder as a process with `top` for its root would, made if it is missing.

    Raises OSError.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return syscalls.openat2(top, path or "/", flags, resolve=syscalls.RESOLVE_IN_ROOT)
    except FileNotFoundError:
        parent, _, name = path.rpartition("/")
        above = folder(top, parent)
        try:
            with suppress(FileExistsError):
                os.mkdir(name, _MODE, dir_fd=above)
        finally:
            os.close(above)
    return syscalls.openat2(top, path, flags, resolve=syscalls.RESOLVE_IN_ROOT)
