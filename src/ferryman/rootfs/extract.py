"""A layer unpacked to a folder, in overlay form.

What goes where has been found out in memory (`tree`), and every name is made once, in a folder
that nobody else has access to: no link can be in the way of anything.
"""

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ferryman import parallel
from ferryman.archive import tar
from ferryman.archive.sparse import Piece, content
from ferryman.archive.tar import Member
from ferryman.errors import FerryError, InvalidArchive, InvalidImage, StoreError
from ferryman.rootfs import namespace, syscalls, tree
from ferryman.rootfs.members import Layer
from ferryman.rootfs.tree import Node

_WINDOW = 1 << 20
_LONGEST_PATH = 4000  # the kernel takes 4095 bytes at a time
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def extract(layer: Layer, into: str, *, user: bool = False, plain: bool = False) -> None:
    """Unpack a layer to a folder, which is empty and this process's alone.

    Modes, owners, times to the nanosecond, xattrs, hard links, sparse files and devices are those
    of the layer; whiteouts become overlay's marks, in ``user.`` attributes with `user` (see
    `overlay.user_xattrs`), where devices are left out too: an ordinary user has no use for them.
    With `plain` it is no layer but any tar, in which a whiteout is a file like others.
    Raises InvalidArchive, InvalidImage, StoreError.
    """
    root = os.open(into, _FOLDER)
    try:
        _Extraction(layer, root, user).run(tree.tree(layer, plain=plain))
    finally:
        os.close(root)


class _Folder(NamedTuple):
    """A folder to be made, by the names on the way to it."""

    above: "_Folder | None"
    name: bytes
    node: Node
    depth: int

    def path(self) -> bytes:
        names = []
        at = self
        while at.above is not None:
            names.append(at.name)
            at = at.above
        return b"/".join(reversed(names)) or b"."


class _Cursor:
    """An open folder, from which others are reached.

    Folders may lie deeper than a path can say; and hostile ones so deep that to come from the root
    each time would take hours.
    """

    def __init__(self, fd: int, root: _Folder) -> None:
        self._fd = os.dup(fd)
        self._at = root

    def __enter__(self) -> "_Cursor":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def to(self, folder: _Folder) -> int:
        """Open a folder in place of the last one; raises OSError."""
        up, names = 0, []
        here, there = self._at, folder
        while here is not there:
            if here.depth >= there.depth:
                assert here.above is not None
                here = here.above
                up += 1
            else:
                assert there.above is not None
                names.append(there.name)
                there = there.above
        path = b"/".join([b".."] * up + names[::-1])
        while path:
            cut = len(path) if len(path) <= _LONGEST_PATH else path.rindex(b"/", 0, _LONGEST_PATH)
            part, path = path[:cut], path[cut + 1 :]
            fd = syscalls.openat2(self._fd, part, _FOLDER, resolve=syscalls.RESOLVE_NO_SYMLINKS)
            os.close(self._fd)
            self._fd = fd
        self._at = folder
        return self._fd


class _Extraction:
    def __init__(self, layer: Layer, root: int, user: bool) -> None:
        self._layer = layer
        self._root = root
        self._user = user

    def run(self, root: Node) -> None:
        top = _Folder(None, b"", root, 0)
        folders: list[_Folder] = []
        linked: dict[Node, list[tuple[_Folder, bytes]]] = {}
        pending = [top]
        with _Cursor(self._root, top) as cursor:
            while pending:
                folder = pending.pop()
                folders.append(folder)
                fd = cursor.to(folder)
                for name, node in _children(folder).items():
                    if node.children is not None:
                        self._done(folder, name, partial(os.mkdir, name, 0o700, dir_fd=fd))
                        pending.append(_Folder(folder, name, node, folder.depth + 1))
                    elif node.links > 1 and not self._left_out(node):
                        linked.setdefault(node, []).append((folder, name))
        stop = threading.Event()
        count = 8 * parallel.cores()
        shares = [folders[n::count] for n in range(min(count, len(folders)))]
        parallel.run([partial(self._fill, top, share, stop) for share in shares], stop)
        with _Cursor(self._root, top) as first, _Cursor(self._root, top) as others:
            for node, names in linked.items():
                self._link(first, others, node, names)
        with _Cursor(self._root, top) as cursor:
            # From above, since the way out of a folder may be closed once it has its mode.
            for folder in reversed(folders):
                self._done(folder, b"", partial(self._dress_folder, cursor, folder))

    def _fill(self, top: _Folder, folders: Sequence[_Folder], stop: threading.Event) -> None:
        with _Cursor(self._root, top) as cursor:
            for folder in folders:
                if stop.is_set():
                    return
                names = [
                    (name, node)
                    for name, node in _children(folder).items()
                    if node.children is None and node.links == 1 and not self._left_out(node)
                ]
                if not names:
                    continue
                fd = cursor.to(folder)
                for name, node in names:
                    self._done(folder, name, partial(self._make, fd, name, node))

    def _link(
        self, first: _Cursor, others: _Cursor, node: Node, names: Sequence[tuple[_Folder, bytes]]
    ) -> None:
        (folder, name), *more = names
        source = first.to(folder)
        self._done(folder, name, partial(self._make, source, name, node))
        for other, again in more:
            link = partial(os.link, name, again, src_dir_fd=source, dst_dir_fd=others.to(other))
            self._done(other, again, partial(link, follow_symlinks=False))

    def _dress_folder(self, cursor: _Cursor, folder: _Folder) -> None:
        if folder.above is None:
            self._dress(self._root, folder.node)
            return
        fd = os.open(folder.name, _FOLDER, dir_fd=cursor.to(folder.above))
        try:
            self._dress(fd, folder.node)
        finally:
            os.close(fd)

    def _left_out(self, node: Node) -> bool:
        device = node.member.type in (tar.CHARACTER, tar.BLOCK_DEVICE)
        return self._user and device and not node.is_whiteout

    def _make(self, folder: int, name: bytes, node: Node) -> None:
        """Make anything but a folder."""
        member = node.member
        if member.type in tar.FILES:
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
            try:
                _copy(self._layer, member, fd)
                self._dress(fd, node)
            finally:
                os.close(fd)
            return
        if member.type == tar.SYMLINK:
            os.symlink(member.link, name, dir_fd=folder)
        elif member.type == tar.FIFO:
            os.mkfifo(name, 0o600, dir_fd=folder)
        else:
            kind = 0o020000 if member.type == tar.CHARACTER else 0o060000
            os.mknod(name, kind | 0o600, os.makedev(*member.device), dir_fd=folder)
        self._dress_path(folder, name, node)

    def _dress(self, fd: int, node: Node) -> None:
        """Give an open file or folder its owner, mode, attributes and time."""
        member = node.member
        # The order matters: a new owner takes setuid bits and capabilities away.
        with _owners_there(member):
            os.fchown(fd, member.uid, member.gid)
        os.fchmod(fd, member.mode)
        if node.has_xattrs:
            self._set_xattrs(f"/proc/self/fd/{fd}", node)
        os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))

    def _dress_path(self, folder: int, name: bytes, node: Node) -> None:
        """Do so to what cannot be opened."""
        member = node.member
        with _owners_there(member):
            os.chown(name, member.uid, member.gid, dir_fd=folder, follow_symlinks=False)
        if member.type != tar.SYMLINK:
            os.chmod(name, member.mode, dir_fd=folder)
        if member.pax:
            self._set_xattrs(b"/proc/self/fd/%d/%b" % (folder, name), node)
        times = (member.mtime_ns, member.mtime_ns)
        os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)

    def _set_xattrs(self, path: str | bytes, node: Node) -> None:
        follow = isinstance(path, str)
        for name, value in tree.xattrs(node, user=self._user):
            try:
                os.setxattr(path, name, value, follow_symlinks=follow)
            except OSError as e:
                # As docker does: what this filesystem has no attributes for goes without, and so
                # does what may not have one.
                if e.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise

    def _done(self, folder: _Folder, name: bytes, step: "partial[None]") -> None:
        try:
            step()
        except OSError as e:
            path = os.path.join(folder.path(), name).removeprefix(b"./")
            raise _failed(self._layer.what, path, e) from None


@contextmanager
def _owners_there(member: Member) -> Iterator[None]:
    """Have the error say so where a user namespace has not got the owners of a member."""
    try:
        yield
    except OSError as e:
        if e.errno == errno.EINVAL and (why := namespace.beyond(member.uid, member.gid)):
            raise OSError(e.errno, why) from None
        raise


def _children(folder: _Folder) -> dict[bytes, Node]:
    return folder.node.children or {}


def _failed(what: str, path: bytes, error: OSError) -> FerryError:
    shown = repr(path[:200]).removeprefix("b")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
        return StoreError(f"cannot unpack {what}: {error.strerror}")
    if error.errno in (errno.EINVAL, errno.EPERM):
        return InvalidImage(f"cannot unpack {what}: {shown}: {error.strerror}")
    return StoreError(f"cannot unpack {what}: {shown}: {error.strerror}")


def _copy(layer: Layer, member: Member, fd: int) -> None:
    size, pieces = content(layer.fd, member, layer.what)
    for piece in pieces:
        _copy_piece(layer, piece, fd)
    if size and (not pieces or pieces[-1].at + pieces[-1].size < size):
        os.ftruncate(fd, size)  # it ends in a hole


def _copy_piece(layer: Layer, piece: Piece, fd: int) -> None:
    done = 0
    while done < piece.size:
        left = piece.size - done
        n = os.copy_file_range(layer.fd, fd, left, piece.offset + done, piece.at + done)
        if not n:
            raise InvalidArchive(f"{layer.what} is truncated")
        done += n
