"""What a container has written, held against what is below it: ``diff``."""

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from ferryman.rootfs import whiteout
from ferryman.rootfs.pack import walk


class Change(NamedTuple):
    """A path that was added ("A"), changed ("C") or removed ("D")."""

    kind: str
    path: bytes


def changes(upper: int, lowers: Sequence[str]) -> list[Change]:
    """Return what an overlay's upper folder changes, sorted by path.

    `lowers` are the mounted layers below it, the topmost first.  A folder that is there only
    because something in it changed counts as changed, as docker has it.  Raises OSError.
    """
    found: list[Change] = []
    opaque: list[bytes] = []
    for entry in walk(upper):
        while opaque and not entry.path.startswith(opaque[-1]):
            opaque.pop()
        below = None if opaque else _below(lowers, entry.path)
        if whiteout.is_whiteout(entry.status):
            if below is not None:
                found.append(Change("D", entry.path))
            continue
        found.append(Change("C" if below is not None else "A", entry.path))
        if stat.S_ISDIR(entry.status.st_mode) and _is_opaque(entry.folder, entry.name):
            opaque.append(entry.path + b"/")
    return sorted(found, key=lambda change: change.path)


def _below(lowers: Sequence[str], path: bytes) -> os.stat_result | None:
    """Return what a path is in the layers below, None when it is not there."""
    parents = path.split(b"/")[:-1]
    for lower in lowers:
        root = os.fsencode(lower)
        status = _lstat(root + b"/" + path)
        if status is not None:
            return None if whiteout.is_whiteout(status) else status
        if _hidden_at(root, parents):
            return None
    return None


def _hidden_at(root: bytes, parents: list[bytes]) -> bool:
    """Tell whether a layer hides what those below it have in a folder."""
    at = root
    for name in parents:
        at += b"/" + name
        status = _lstat(at)
        if status is None:
            return False
        if not stat.S_ISDIR(status.st_mode):
            return True  # a file, a link or a whiteout in the folder's place
        if _marked(at):
            return True
    return False


def _lstat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_opaque(folder: int, name: str) -> bool:
    return _marked(os.fsencode(f"/proc/self/fd/{folder}/{name}"))


def _marked(path: bytes) -> bool:
    def value(name: str) -> bytes | None:
        try:
            return os.getxattr(path, name, follow_symlinks=False)
        except OSError:
            return None

    return whiteout.opaque(value)
