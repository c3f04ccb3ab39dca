"""Where what is too large for memory lies meanwhile."""

import os
import tempfile
from contextlib import suppress


def folder() -> str:
    """Return the folder: not /tmp, which is memory on many machines, unless it is asked for."""
    return os.environ.get("TMPDIR") or "/var/tmp"


def room() -> int:
    """Return how many bytes it still has room for; raises OSError."""
    found = os.statvfs(folder())
    return found.f_bavail * found.f_frsize


def unnamed() -> int:
    """Return a new file that has no name, and is gone when it is closed; raises OSError."""
    fd, path = tempfile.mkstemp(prefix="ferry-", dir=folder())
    with suppress(OSError):
        os.unlink(path)
    return fd
