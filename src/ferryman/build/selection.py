"""Which files a COPY takes, and what tells whether they are the same as before.

The files are a stranger's: a link in them leads nowhere but to other ones of them.
"""

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ferryman.build.ignore import Ignored, as_expression
from ferryman.errors import FerryError
from ferryman.rootfs import pack, syscalls

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL = re.compile(r"[*?\[\\]")


_NOTHING = Ignored()


class NotThere(FerryError):
    """A file that is to be copied and is not there."""


class Root(NamedTuple):
    """Files to choose from: an open folder, what of it is not to be seen, and whose they are."""

    fd: int
    ignored: Ignored = Ignored()
    owner: tuple[int, int] | None = None
    """User and group of all of them; None where each has its own."""


class Found(NamedTuple):
    """A file or folder: its path from the root, without links, and how it is called."""

    path: str
    name: str
    """The last part of the path that led there."""


class Entry(NamedTuple):
    """One name below what was found: its path from there, and the open folder that it is in."""

    path: str
    folder: int
    name: str
    status: os.stat_result


@contextmanager
def opened(path: str, ignored: Ignored, owner: tuple[int, int] | None) -> Iterator[Root]:
    """Give a folder as a root; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Root(fd, ignored, owner)
    finally:
        os.close(fd)


def find(root: Root, source: str) -> list[Found]:
    """Return what a source, which may be a pattern, stands for; raises NotThere, IgnoreError.

    A pattern may stand for nothing.
    """
    source = posixpath.normpath("/" + source.lstrip("/")).lstrip("/")
    if not _SPECIAL.search(source):
        found = _resolved(root, source)
        if found is None:
            raise NotThere(f'"/{source}": not found')
        return [found]
    paths = [""]
    for part in source.split("/"):
        paths = [path for above in paths for path in _matching(root, above, part)]
    return [found for path in paths if (found := _resolved(root, path))]


def _matching(root: Root, above: str, part: str) -> list[str]:
    if not _SPECIAL.search(part):
        return [posixpath.join(above, part)]
    wanted = re.compile(as_expression(part.replace("**", "*")), re.DOTALL)
    folder = _resolved(root, above)
    if folder is None:
        return []
    try:
        fd = _open(root, folder.path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        names = sorted(os.listdir(fd), key=os.fsencode)
    finally:
        os.close(fd)
    return [posixpath.join(above, name) for name in names if wanted.fullmatch(name)]


def _open(root: Root, path: str, flags: int) -> int:
    flags |= os.O_CLOEXEC
    return syscalls.openat2(root.fd, path or ".", flags, resolve=syscalls.RESOLVE_IN_ROOT)


def _resolved(root: Root, path: str) -> Found | None:
    """Return a path without links; None where nothing is to be seen."""
    try:
        fd = _open(root, path, os.O_PATH)
    except OSError:
        return None
    try:
        top = os.readlink(f"/proc/self/fd/{root.fd}")
        real = os.readlink(f"/proc/self/fd/{fd}").removeprefix(top.rstrip("/")).lstrip("/")
        folder = stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)
    hidden = real and root.ignored.leaves_out(real)
    if hidden and not (folder and root.ignored.may_keep_below(real)):
        return None
    return Found(real, posixpath.basename(path))


def walk(root: Root, found: Found, exclude: Ignored = _NOTHING) -> Iterator[Entry]:
    """Yield what was found, with the path "", and all below it that is to be seen, names sorted.

    Paths that `exclude` leaves out, which are relative to what was found, are passed over.  Raises
    OSError.
    """
    above, _, name = found.path.rpartition("/")
    folder = _open(root, above, os.O_RDONLY | os.O_DIRECTORY)
    try:
        status = os.stat(name or ".", dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            yield Entry("", folder, name or ".", status)
            yield from _below(root, found.path, folder, name or ".", exclude)
        elif not exclude.leaves_out(name):
            yield Entry("", folder, name, status)
    finally:
        os.close(folder)


def _below(root: Root, prefix: str, folder: int, name: str, exclude: Ignored) -> Iterator[Entry]:
    top = os.open(name, _FOLDER, dir_fd=folder)
    hidden: list[pack.Entry] = []  # folders that are there only if something in them is

    def out(relative: str) -> bool:
        whole = posixpath.join(prefix, relative)
        return root.ignored.leaves_out(whole) or exclude.leaves_out(relative)

    def skip(path: bytes, folder: bool) -> bool:
        relative = os.fsdecode(path)
        if not folder:
            return out(relative)
        whole = posixpath.join(prefix, relative)
        return any(
            patterns.leaves_out(each) and not patterns.may_keep_below(each)
            for patterns, each in ((root.ignored, whole), (exclude, relative))
        )

    try:
        for entry in pack.walk(top, skip=skip):
            relative = os.fsdecode(entry.path)
            if stat.S_ISDIR(entry.status.st_mode) and out(relative):
                hidden.append(entry)
            else:
                for each in hidden:
                    if relative.startswith(os.fsdecode(each.path) + "/"):
                        yield from _again(top, each)
                hidden = []
                yield Entry(relative, entry.folder, entry.name, entry.status)
    finally:
        os.close(top)


def _again(top: int, entry: pack.Entry) -> Iterator[Entry]:
    """Yield a folder that was passed over before."""
    above, _, name = os.fsdecode(entry.path).rpartition("/")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    folder = syscalls.openat2(top, above or ".", flags, resolve=syscalls.RESOLVE_NO_SYMLINKS)
    try:
        yield Entry(os.fsdecode(entry.path), folder, name, entry.status)
    finally:
        os.close(folder)


def digest(root: Root, sources: Sequence[str], exclude: Ignored = _NOTHING) -> str:
    """Return what tells the files of sources from all others: all but their times counts.

    Raises NotThere, OSError.
    """
    total = hashlib.sha256()
    for source in sources:
        for found in find(root, source):
            total.update(b"\0\0" + os.fsencode(found.name))
            links: dict[tuple[int, int], str] = {}
            for entry in walk(root, found, exclude):
                status = entry.status
                same = (status.st_dev, status.st_ino)
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    link = links.setdefault(same, entry.path)
                    content = b"=" + os.fsencode(link) if link != entry.path else _content(entry)
                else:
                    content = _content(entry)
                uid, gid = root.owner or (status.st_uid, status.st_gid)
                head = f"\0{status.st_mode:o} {uid} {gid} {status.st_rdev}\0"
                if not entry.path and stat.S_ISDIR(status.st_mode):
                    head = "\0"  # what is in it is taken, not the folder
                total.update(head.encode() + os.fsencode(entry.path) + b"\0" + content)
    return total.hexdigest()


def _content(entry: Entry) -> bytes:
    mode = entry.status.st_mode
    if stat.S_ISLNK(mode):
        return os.fsencode(os.readlink(entry.name, dir_fd=entry.folder))
    if not stat.S_ISREG(mode):
        return b""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(entry.name, flags, dir_fd=entry.folder)
    with open(fd, "rb", buffering=0) as f:
        attributes = [
            os.fsencode(name) + b"=" + os.getxattr(fd, name)
            for name in sorted(os.listxattr(fd))
            if name.startswith(pack.KEPT_XATTRS)
        ]
        return hashlib.file_digest(f, "sha256").digest() + b"".join(attributes)
