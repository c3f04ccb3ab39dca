"""What a container has written, held against what was there before: ``diff``."""

import os
import stat
from typing import NamedTuple

from ferryman.rootfs import syscalls, whiteout
from ferryman.rootfs.pack import Entry, walk

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RESOLVE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
_CAPABILITY = "security.capability"


class Change(NamedTuple):
    """A path that was added ("A"), changed ("C") or removed ("D")."""

    kind: str
    path: bytes


def changes(upper: int, before: int) -> list[Change]:
    """Return what an overlay's upper folder changes of the tree below it, sorted by path.

    By docker's rules: a folder has changed if its mode or owner has, or something in it; what was
    written and is as before has not; of a folder that is gone, nothing is said of what was in it.
    Raises OSError.
    """
    found: dict[bytes, str] = {}
    opaque: list[bytes] = []
    for entry in walk(upper):
        while opaque and not entry.path.startswith(opaque[-1]):
            opaque.pop()
        at, old = _before(before, entry.path)
        try:
            if whiteout.is_whiteout(entry.status):
                if old is not None:
                    found[entry.path] = "D"
                continue
            if old is None:
                found[entry.path] = "A"
            elif _differs(at, old, entry):
                found[entry.path] = "C"
            if not stat.S_ISDIR(entry.status.st_mode):
                continue
            if _is_opaque(entry):
                opaque.append(entry.path + b"/")
            if opaque and old is not None and stat.S_ISDIR(old.st_mode):
                found |= dict.fromkeys(_gone(at, entry), "D")
        finally:
            if at is not None:
                os.close(at)
    for path in list(found):
        while path := path.rpartition(b"/")[0]:
            found.setdefault(path, "C")
    return [Change(found[path], path) for path in sorted(found)]


def _before(root: int, path: bytes) -> tuple[int | None, os.stat_result | None]:
    """Return the open folder that a path was in, and what it was; None where there was nothing."""
    parent, _, name = path.rpartition(b"/")
    try:
        at = syscalls.openat2(root, parent or b".", _FOLDER, resolve=_RESOLVE)
    except OSError:
        return None, None  # no folder then
    try:
        return at, os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return at, None


def _differs(at: int | None, old: os.stat_result, entry: Entry) -> bool:
    """Tell whether a file, or what a folder is without its content, is not as before."""
    new = entry.status
    if (old.st_mode, old.st_uid, old.st_gid) != (new.st_mode, new.st_uid, new.st_gid):
        return True
    if stat.S_ISDIR(new.st_mode):
        return False
    if (old.st_size, old.st_rdev) != (new.st_size, new.st_rdev):
        return True
    return not _same_time(old.st_mtime_ns, new.st_mtime_ns) or (
        _capability(at, entry.name) != _capability(entry.folder, entry.name)
    )


def _same_time(one: int, other: int) -> bool:
    """Tell whether two times are the same; one may have been cut to whole seconds."""
    second = 10**9
    cut = one % second == 0 or other % second == 0
    return one // second == other // second if cut else one == other


def _gone(at: int | None, entry: Entry) -> list[bytes]:
    """Return what was in a folder of which the upper one shows nothing but its own."""
    old = os.open(entry.name, _FOLDER, dir_fd=at)
    try:
        new = os.open(entry.name, _FOLDER, dir_fd=entry.folder)
        try:
            names = set(os.listdir(old)) - set(os.listdir(new))
        finally:
            os.close(new)
    finally:
        os.close(old)
    return [entry.path + b"/" + os.fsencode(name) for name in names]


def _is_opaque(entry: Entry) -> bool:
    return whiteout.opaque(lambda name: _xattr(entry.folder, entry.name, name))


def _capability(folder: int | None, name: str) -> bytes | None:
    return None if folder is None else _xattr(folder, name, _CAPABILITY)


def _xattr(folder: int, name: str, key: str) -> bytes | None:
    try:
        return os.getxattr(f"/proc/self/fd/{folder}/{name}", key, follow_symlinks=False)
    except OSError:
        return None
