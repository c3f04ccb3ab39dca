"""Files that a user asked for: written aside and renamed, or not there at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from ferryman.errors import FerryError


class OutputError(FerryError):
    """The output cannot be written where it was asked for."""


@contextmanager
def replacing(path: str, doing: str) -> Iterator[int]:
    """Open an output file; it gets its name, and its mode 0600, when the block ends well.

    `doing` begins the sentence of an error: "failed to save image".  A pipe (mkfifo) is written to
    as it is.  Raises OutputError with docker's words.
    """
    kind = _kind(path, doing)
    if kind == "pipe":
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
        return
    # The file behind a link is replaced, not the link.
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name[:40]}.{os.urandom(6).hex()}.part")
    try:
        fd = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise OutputError(f"{doing}: cannot write to {folder}: {e.strerror}") from None
    try:
        try:
            yield fd
            os.fdatasync(fd)
        finally:
            os.close(fd)
        os.rename(aside, path)
    except BaseException as e:
        os.unlink(aside)
        if isinstance(e, OSError):
            raise OutputError(f"{doing}: cannot write {path}: {e.strerror}") from None
        raise


def _kind(path: str, doing: str) -> str:
    folder = os.path.dirname(path) or "."
    try:
        if not os.path.isdir(folder):
            raise OutputError(f'{doing}: invalid output path: directory "{folder}" does not exist')
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "file"
    except OSError as e:
        raise OutputError(f"{doing}: invalid output path: {path}: {e.strerror}") from None
    if stat.S_ISDIR(mode):
        raise OutputError(f"{doing}: cannot write to a directory")
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OutputError(
            f'{doing}: invalid output path: "{path}" must be a directory or a regular file: '
            "got a device"
        )
    return "pipe" if stat.S_ISFIFO(mode) else "file"
