"""A file or folder of one tree set into another: ``cp``.

Neither tree is trusted, and either may be changed by its container meanwhile: every step goes
from an open folder to a name in it, and follows no link.
"""

import os
import stat
from contextlib import suppress

from ferryman.archive.write import FileSink
from ferryman.rootfs import pack
from ferryman.rootfs.pack import Entry

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Clash(Exception):
    """A folder is to be written where something else is, or the other way round."""

    def __init__(self, path: str, *, folder: bool) -> None:
        """`path` is below the folder written to, `folder` tells what is there already."""
        super().__init__(path)
        self.path = path
        self.folder = folder


def graft(
    source: int, name: str, target: int, new_name: str, *, owner: tuple[int, int] | None = None
) -> int:
    """Copy what is called `name` in one open folder into another; return the bytes of its files.

    A folder that is there already takes the other's content in; anything else that is there is
    replaced.  Without `owner` (user and group) everything keeps its own.  Raises Clash, OSError.
    """
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    size = make(source, name, status, target, new_name, owner)
    if not stat.S_ISDIR(status.st_mode):
        return size
    below = os.open(name, _FOLDER, dir_fd=source)
    try:
        into = os.open(new_name, _FOLDER, dir_fd=target)
        try:
            size += graft_content(below, into, owner=owner)
        except Clash as e:
            raise Clash(f"{new_name}/{e.path}", folder=e.folder) from None
        finally:
            os.close(into)
    finally:
        os.close(below)
    dress(source, name, status, target, new_name, owner)
    return size


def graft_content(source: int, target: int, *, owner: tuple[int, int] | None = None) -> int:
    """Copy all that is in one open folder into another; return the bytes of its files.

    Raises Clash, OSError.
    """
    size = 0
    folders: list[tuple[bytes, os.stat_result]] = []
    links: dict[tuple[int, int], bytes] = {}
    for entry in pack.walk(source):
        parent, _, _ = entry.path.rpartition(b"/")
        into = descend(target, parent)
        try:
            name = os.fsdecode(entry.name)
            key = (entry.status.st_dev, entry.status.st_ino)
            is_folder = stat.S_ISDIR(entry.status.st_mode)
            if entry.status.st_nlink > 1 and not is_folder and key in links:
                link(target, links[key], into, name)
                continue
            try:
                size += make(entry.folder, entry.name, entry.status, into, name, owner)
            except Clash as e:
                raise Clash(os.fsdecode(entry.path), folder=e.folder) from None
            if is_folder:
                folders.append((entry.path, entry.status))
            else:
                links[key] = entry.path
        finally:
            os.close(into)
    for path, status in reversed(folders):
        parent, _, last = path.rpartition(b"/")
        origin, into = descend(source, parent), descend(target, parent)
        try:
            dress(origin, os.fsdecode(last), status, into, os.fsdecode(last), owner)
        finally:
            os.close(origin)
            os.close(into)
    return size


def descend(folder: int, path: bytes) -> int:
    """Open a folder below another, a name at a time."""
    at = os.dup(folder)
    for part in filter(None, path.split(b"/")):
        below = os.open(part, _FOLDER, dir_fd=at)
        os.close(at)
        at = below
    return at


def link(target: int, earlier: bytes, into: int, name: str) -> None:
    """Give what is at a path below an open folder another name, in `into`; raises OSError."""
    parent, _, last = earlier.rpartition(b"/")
    origin = descend(target, parent)
    try:
        _clear(into, name)
        os.link(last, name, src_dir_fd=origin, dst_dir_fd=into, follow_symlinks=False)
    finally:
        os.close(origin)


def make(
    source: int,
    name: str,
    status: os.stat_result,
    target: int,
    new_name: str,
    owner: tuple[int, int] | None,
) -> int:
    """Make one name, without what is in it; return the bytes of a file.

    A folder is not dressed yet: what is made in it would change its time.  Raises OSError.
    """
    size = 0
    if stat.S_ISDIR(status.st_mode):
        try:
            os.mkdir(new_name, 0o700, dir_fd=target)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(new_name, dir_fd=target, follow_symlinks=False).st_mode):
                raise Clash(new_name, folder=False) from None
        return 0
    if stat.S_ISSOCK(status.st_mode):
        return 0  # of no use to anyone but who listens at it
    _clear(target, new_name)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), new_name, dir_fd=target)
    elif stat.S_ISREG(status.st_mode):
        size = _file(Entry(b"", source, name, status), target, new_name)
    else:
        os.mknod(new_name, status.st_mode, status.st_rdev, dir_fd=target)
    dress(source, name, status, target, new_name, owner)
    return size


def _clear(folder: int, name: str) -> None:
    """Take away what is in the way; a folder is not."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise Clash(name, folder=True)
        os.unlink(name, dir_fd=folder)


def _file(entry: Entry, target: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    reader = os.open(entry.name, flags, dir_fd=entry.folder)
    try:
        status = os.fstat(reader)
        if not stat.S_ISREG(status.st_mode):
            return 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writer = os.open(name, flags, 0o600, dir_fd=target)
        try:
            FileSink(writer).copy(reader, status.st_size, lambda n: None)
        finally:
            os.close(writer)
        return status.st_size
    finally:
        os.close(reader)


def dress(
    source: int,
    name: str,
    status: os.stat_result,
    target: int,
    new_name: str,
    owner: tuple[int, int] | None,
) -> None:
    """Give what was made the owner, mode, attributes and time of its source; raises OSError."""
    uid, gid = owner or (status.st_uid, status.st_gid)
    os.chown(new_name, uid, gid, dir_fd=target, follow_symlinks=False)
    origin, made = f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{target}/{new_name}"
    if not stat.S_ISLNK(status.st_mode):
        # After the owner: that takes the set-user-ID bit away.
        fd = os.open(new_name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
        try:
            os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(status.st_mode))
        finally:
            os.close(fd)
    with suppress(OSError):
        for key in os.listxattr(origin, follow_symlinks=False):
            if key.startswith(pack.KEPT_XATTRS):
                value = os.getxattr(origin, key, follow_symlinks=False)
                os.setxattr(made, key, value, follow_symlinks=False)
    times = (status.st_mtime_ns, status.st_mtime_ns)
    os.utime(new_name, ns=times, dir_fd=target, follow_symlinks=False)
