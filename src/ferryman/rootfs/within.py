"""Files of a root filesystem that is not to be trusted, without ever leaving it.

The names and links in it mean what they mean to whoever has it as ``/``: an absolute link begins
there, and ``..`` at the top stays there.
"""

import errno
import os
import stat

from ferryman.rootfs import syscalls


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
