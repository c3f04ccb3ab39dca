"""Opening files of a root filesystem that is not to be trusted, without ever leaving it.

The names and links in it mean what they mean to whoever has it as ``/``: an absolute link begins
there, and ``..`` at the top stays there.
"""

import errno
import os
import stat

_MAX_LINKS = 40


def opened(root: str, path: str, flags: int = os.O_RDONLY) -> int:
    """Open a file by its path in `root`, and return the descriptor.

    It never waits, as for the other end of a pipe.  Raises OSError.
    """
    folders = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    names = path.split("/")[::-1]
    links = 0
    try:
        while names:
            name = names.pop()
            if name == "..":
                if len(folders) > 1:
                    os.close(folders.pop())
                continue
            if name in ("", "."):
                continue
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folders[-1])
            folders.append(found)
            if stat.S_ISLNK(os.fstat(found).st_mode):
                target = os.readlink("", dir_fd=found)
                os.close(folders.pop())
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                names += target.split("/")[::-1]
                if target.startswith("/"):
                    while len(folders) > 1:
                        os.close(folders.pop())
        # What the descriptor stands for is opened, whatever has become of its name.
        return os.open(f"/proc/self/fd/{folders[-1]}", flags | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        for folder in folders:
            os.close(folder)


def read(root: str, path: str, limit: int) -> bytes:
    """Return the content of a regular file, at most `limit` bytes of it.

    Raises OSError, also when it is anything but a regular file.
    """
    with open(opened(root, path), "rb") as f:
        if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        return f.read(limit)
