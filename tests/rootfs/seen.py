"""Folders as the kernel shows them, to be compared, and mounts that no other process sees."""

import hashlib
import os
import pickle
import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, TypeVar

from ferryman.rootfs import namespace

T = TypeVar("T")


class Entry(NamedTuple):
    """All that can be told of one name, and by which other names it goes too."""

    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    what: bytes | int
    """A file's digest, a link's target, a device's number; a folder's links."""
    size: int
    xattrs: dict[str, bytes]
    names: list[bytes]


def seen(root: str | Path, *, skip: Collection[bytes] = ()) -> dict[bytes, Entry]:
    """Return what is in a folder, itself included, by path; nothing of what is at paths to skip."""
    found: dict[bytes, Entry] = {}
    same: dict[tuple[int, int], list[bytes]] = {}
    top = os.fsencode(root)
    pending = [b""]
    while pending:
        path = pending.pop()
        full = os.path.join(top, path)
        status = os.lstat(full)
        names = same.setdefault((status.st_dev, status.st_ino), [])
        names.append(path)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            below = [os.path.join(path, name) for name in sorted(os.listdir(full))]
            pending += [each for each in below if each not in skip]
        else:
            assert path not in found
        found[path] = Entry(
            status.st_mode,
            (status.st_uid, status.st_gid),
            status.st_mtime_ns,
            _what(full, status),
            # How large folders are is each filesystem's own affair.
            0 if kind == stat.S_IFDIR else status.st_size,
            {
                name: os.getxattr(full, name, follow_symlinks=False)
                for name in os.listxattr(full, follow_symlinks=False)
            },
            names,
        )
    for entry in found.values():
        entry.names.sort()
    return found


def _what(path: bytes, status: os.stat_result) -> bytes | int:
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as f:
            return hashlib.file_digest(f, "sha256").digest()
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return status.st_rdev
    return status.st_nlink if stat.S_ISDIR(status.st_mode) else b""


def apart(function: Callable[[], T]) -> T:
    """Call a function in a process with mounts of its own; return or raise what it does."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            namespace.private_mounts()
            answer: tuple[bool, object] = (True, function())
        except BaseException as e:
            answer = (False, e)
        with open(writing, "wb") as f:
            pickle.dump(answer, f)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as f:
        content = f.read()
    os.waitpid(child, 0)
    good, result = pickle.loads(content)
    if not good:
        raise result
    return result  # type: ignore[no-any-return]
