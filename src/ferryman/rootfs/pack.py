"""A directory tree as a tar: export, commit, cp.

The tree may be that of a running container, which is free to put a link where a folder was a
moment ago: every step goes from an open folder to a name in it, and never follows a link.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

from ferryman.archive import behind, tar
from ferryman.archive.intake import Advance
from ferryman.archive.tar import Member
from ferryman.archive.write import PipeSink, Sink
from ferryman.errors import StoreError
from ferryman.rootfs import whiteout

_XATTR = b"SCHILY.xattr."
# Others are the host's business (labels of a security module) or overlay's own marks.
KEPT_XATTRS = ("user.", "security.capability", "system.posix_acl_")
_KEPT = tuple(name.encode() for name in KEPT_XATTRS)
_DROPPED = b"user.overlay."
SMALL = 128 << 10
"""Files up to this many bytes go out with the headers around them, in one write."""
GATHER = 1 << 20
"""Small parts go out together once they are this many bytes."""
# Folders of a tree: it may be deeper than a process may have files open.
_OPEN_AT_ONCE = 200

_TYPES = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFDIR: tar.FOLDER,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}


class Entry(NamedTuple):
    """One name in a tree: its path from the root, and the open folder that it is in."""

    path: bytes
    folder: int
    name: str
    status: os.stat_result


def walk(root: int, *, skip: Callable[[bytes, bool], bool] | None = None) -> Iterator[Entry]:
    """Yield what is below an open folder, names sorted, each folder before what is in it.

    A path for which `skip`, told whether it is a folder, is true is left out with all below it,
    and not looked at; what vanishes meanwhile is passed over.  The open folder of an entry is good
    until the next one.
    """
    for path, folder, name, _ in _walk(root, skip):
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield Entry(path, folder, name, status)


def _walk(
    root: int, skip: Callable[[bytes, bool], bool] | None
) -> Iterator[tuple[bytes, int, str, bool]]:
    """Yield paths, the open folders that they are in, their names, and whether they are files."""
    # A stack of its own: trees may be deeper than Python's.
    stack = [_Level(os.dup(root), b"")]
    try:
        while stack:
            level = stack[-1]
            found = next(level.names, None)
            if found is None:
                _leave(stack)
                continue
            as_bytes, name, is_folder, is_file = found
            path = level.prefix + as_bytes
            if skip and skip(path, is_folder):
                continue
            yield path, level.fd, name, is_file
            if is_folder:
                below = _open_folder(name, level.fd)
                if below is not None:
                    stack.append(_Level(below, path + b"/"))
                    if len(stack) > _OPEN_AT_ONCE:
                        stack[-_OPEN_AT_ONCE].close()
    finally:
        for level in stack:
            level.close()


class _Level:
    """A folder that is being walked: open, unless there are too many between it and the last."""

    def __init__(self, fd: int, prefix: bytes) -> None:
        self.fd = fd
        self.prefix = prefix
        with os.scandir(fd) as entries:
            names = [
                (
                    os.fsencode(each.name),
                    each.name,
                    each.is_dir(follow_symlinks=False),
                    each.is_file(follow_symlinks=False),
                )
                for each in entries
            ]
        names.sort()
        self.names = iter(names)
        self._identity = _identity(fd)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def reopen(self, below: int) -> bool:
        """Open it again, from a folder that was in it; tell whether that still is."""
        self.fd = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=below)
        if _identity(self.fd) != self._identity:
            self.close()
        return self.fd >= 0


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _leave(stack: list[_Level]) -> None:
    """Go back to the folder above; if this one has been moved, to the next that is still open."""
    last = stack.pop()
    try:
        if stack and stack[-1].fd < 0 and not stack[-1].reopen(last.fd):
            while stack and stack[-1].fd < 0:
                stack.pop()
    finally:
        last.close()


def _open_folder(name: str, folder: int) -> int | None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        if e.errno == errno.ELOOP:
            return None
        raise


def member_of(entry: Entry) -> Member | None:
    """Return what a tar says of an entry; None for a socket, and for what has just been removed."""
    status = entry.status
    kind = _TYPES.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    link = b""
    pax: dict[bytes, bytes] = {}
    if kind == tar.SYMLINK:
        try:
            link = os.fsencode(os.readlink(entry.name, dir_fd=entry.folder))
        except OSError:
            return None
    elif kind in (tar.FILE, tar.FOLDER):
        pax = _pax(_xattrs(_proc_path(entry)))
    size = status.st_size if kind == tar.FILE else 0
    return _member(entry.path, kind, status, size=size, link=link, pax=pax)


class Whole:
    """A sink in front of another one that takes files which become shorter while they are read."""

    def __init__(self, sink: Sink) -> None:
        """Pass everything on to `sink`."""
        self._sink = sink
        self.write = sink.write

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Take `size` bytes: those of the file, then zeros, as GNU tar has it."""
        left = size

        def copied(count: int) -> None:
            nonlocal left
            left -= count
            advance(count)

        try:
            self._sink.copy(fd, size, copied, start)
        except StoreError:
            while left:
                part = min(left, GATHER)
                self.write(bytes(part))
                left -= part


class Gathered:
    """Brings small parts to a sink together, in few writes."""

    def __init__(self, sink: Sink) -> None:
        """Pass everything on to `sink`, the last of it when `flush` is called."""
        self._sink = sink
        self._pending: list[bytes] = []
        self._size = 0

    def write(self, content: bytes) -> None:
        """Take some content."""
        self._pending.append(content)
        self._size += len(content)
        if self._size >= GATHER:
            self.flush()

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Pass on `size` bytes of a file, after what has been gathered."""
        self.flush()
        self._sink.copy(fd, size, advance, start)

    def flush(self) -> None:
        """Pass on what has been gathered."""
        if self._pending:
            self._sink.write(b"".join(self._pending))
            self._pending.clear()
            self._size = 0


class Packer:
    """Writes entries of one tree to a sink; links between them are kept."""

    def __init__(self, sink: Sink, *, whiteouts: bool = False, latest: int | None = None) -> None:
        """Write to `sink`, a `Whole` one; with `whiteouts` overlay's marks become a layer's.

        What is newer than `latest`, in nanoseconds since 1970, is said to be of that time.
        """
        self._sink = Gathered(sink)
        self._write = self._sink.write
        self._latest = latest
        self._whiteouts = whiteouts
        self._links: dict[tuple[int, int], bytes] = {}
        self.size = 0
        """The bytes of the files so far."""

    def add(self, entry: Entry, name: bytes | None = None) -> None:
        """Write an entry, under another name if one is given; raises OSError, StoreError."""
        name = entry.path if name is None else name
        status = entry.status
        if self._whiteouts and whiteout.is_whiteout(status):
            folder, slash, last = name.rpartition(b"/")
            self._write(self._header(_mark(folder + slash + whiteout.PREFIX + last, status)))
            return
        kind = _TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return  # a socket: a tar has no place for one, and it is of no use to another process
        if kind == tar.FILE:
            self.add_file(entry.folder, entry.name, name)
            return
        if kind == tar.FOLDER:
            xattrs = _xattrs(_proc_path(entry))
            self._write(self._header(_member(name + b"/", kind, status, pax=_pax(xattrs))))
            if self._whiteouts and whiteout.opaque(xattrs.get):
                self._write(self._header(_mark(name + b"/" + whiteout.OPAQUE, status)))
            return
        link = b""
        if kind == tar.SYMLINK:
            try:
                link = os.fsencode(os.readlink(entry.name, dir_fd=entry.folder))
            except OSError:
                return  # it has just been replaced
        if earlier := self._linked(name, status):
            kind, link = tar.HARDLINK, earlier
        self._write(self._header(_member(name, kind, status, link=link)))

    def _header(self, member: Member) -> bytes:
        if self._latest is not None and member.mtime_ns > self._latest:
            member = member._replace(mtime_ns=self._latest)
        return tar.header(member)

    def add_file(self, folder: int, entry: str, name: bytes) -> None:
        """Write what is a regular file in an open folder; raises OSError, StoreError."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME
        try:
            fd = _open_file(folder, entry, flags)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return  # it has just been removed or replaced
            raise
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return
            pax = _pax(_xattrs(fd))
            if earlier := self._linked(name, status):
                member = _member(name, tar.HARDLINK, status, link=earlier, pax=pax)
                self._write(self._header(member))
                return
            self.size += status.st_size
            self._write(self._header(_member(name, tar.FILE, status, size=status.st_size, pax=pax)))
            self._content(fd, status.st_size)
        finally:
            os.close(fd)

    def finish(self) -> None:
        """Write the end of the archive; raises OSError."""
        self._write(tar.END)
        self._sink.flush()

    def _content(self, fd: int, size: int) -> None:
        """Write as many bytes as the header says, whatever becomes of the file."""
        if size > SMALL:
            self._sink.copy(fd, size, _nobody_counts)
            self._write(bytes(-size % tar.BLOCK))
        elif size:
            content = os.read(fd, size)
            self._write(content)
            # A file that shrinks while it is read ends in zeros, as GNU tar has it.
            self._write(bytes(tar.padded(size) - len(content)))

    def _linked(self, name: bytes, status: os.stat_result) -> bytes | None:
        """Return the name under which the same file has gone out; remember this one if none has."""
        if status.st_nlink < 2:
            return None
        key = (status.st_dev, status.st_ino)
        earlier = self._links.setdefault(key, name)
        return None if earlier is name else earlier


def pack(
    root: int,
    sink: Sink,
    *,
    whiteouts: bool = False,
    latest: int | None = None,
) -> int:
    """Write all below an open folder as a tar; return the bytes of its files.

    Modes, owners, times to the nanosecond (none above `latest`), xattrs, hard links and devices
    are kept; sockets are left out.  Raises OSError, StoreError.
    """
    whole = Whole(sink)
    # Whoever reads from a pipe works at the same time anyway.
    direct = isinstance(sink, PipeSink)
    with nullcontext(whole) if direct else behind.writing(whole) as out:
        packer = Packer(out, whiteouts=whiteouts, latest=latest)
        for path, folder, name, is_file in _walk(root, None):
            if is_file:
                packer.add_file(folder, name, path)
                continue
            try:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            packer.add(Entry(path, folder, name, status))
        packer.finish()
    return packer.size


def _nobody_counts(count: int) -> None:
    pass


def _open_file(folder: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        # Only a file's owner may leave its time of access alone.
        return os.open(name, flags & ~os.O_NOATIME, dir_fd=folder)


def _mark(name: bytes, status: os.stat_result) -> Member:
    return Member(name, tar.FILE, 0, b"", 0, 0, 0, status.st_mtime_ns, (0, 0), {}, 0)


def _member(
    name: bytes,
    kind: bytes,
    status: os.stat_result,
    *,
    size: int = 0,
    link: bytes = b"",
    pax: dict[bytes, bytes] | None = None,
) -> Member:
    device = (0, 0)
    if kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    mode, mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns
    owner, group = status.st_uid, status.st_gid
    return Member(name, kind, size, link, mode, owner, group, mtime, device, pax or {}, 0)


def _proc_path(entry: Entry) -> str:
    return f"/proc/self/fd/{entry.folder}/{entry.name}"


def _xattrs(of: str | int) -> dict[str, bytes]:
    follow = isinstance(of, int)
    try:
        names = os.listxattr(of, follow_symlinks=follow)
        return {name: os.getxattr(of, name, follow_symlinks=follow) for name in names}
    except OSError:
        return {}  # none on this filesystem, or it has just been removed


def kept_xattr(name: bytes) -> bool:
    """Tell whether an extended attribute is the files' own, and goes along with them."""
    return name.startswith(_KEPT) and not name.startswith(_DROPPED)


def _pax(xattrs: dict[str, bytes]) -> dict[bytes, bytes]:
    encoded = {os.fsencode(name): value for name, value in xattrs.items()}
    return {_XATTR + name: value for name, value in encoded.items() if kept_xattr(name)}
