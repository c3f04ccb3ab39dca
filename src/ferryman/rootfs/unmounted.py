"""Layers, and folders written over them, as one tar: as overlay shows them, but not mounted.

Contents come straight from the layers' tars, which takes a fraction of the time of reading them
through a file system, a file at a time.
"""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

from ferryman.archive import behind, tar
from ferryman.archive.intake import Advance, nothing
from ferryman.archive.sparse import Piece, Sparse, content
from ferryman.archive.tar import Member
from ferryman.archive.write import PipeSink, Sink
from ferryman.rootfs import syscalls
from ferryman.rootfs.members import Layer
from ferryman.rootfs.merged import File
from ferryman.rootfs.pack import GATHER, SMALL, Gathered, Whole
from ferryman.rootfs.recall import Recalled
from ferryman.rootfs.tree import XATTR, Node, own_xattrs

Source = Layer | int
"""A layer's tar, or an open folder with what was written over it."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_RESOLVE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS


def write(
    files: Mapping[bytes, File],
    sources: Sequence[Source],
    sink: Sink,
    *,
    keep: Callable[[bytes], bool] = lambda name: True,
    advance: Advance = nothing,
) -> None:
    """Write a merged tree as a tar.

    `sources` are what the trees were made of, in the same order; `keep` says which extended
    attributes go along, of nodes that are not recalled.  Sparse files are written out whole.
    Raises InvalidArchive, StoreError, OSError.
    """
    whole = Whole(sink)
    # Whoever reads from a pipe works at the same time anyway.
    direct = isinstance(sink, PipeSink)
    with nullcontext(whole) if direct else behind.writing(whole) as out:
        _Writer(sources, out, keep, advance).write(files)


class _Writer:
    def __init__(
        self,
        sources: Sequence[Source],
        sink: Sink,
        keep: Callable[[bytes], bool],
        advance: Advance,
    ) -> None:
        self._sources = sources
        self._sink = Gathered(sink)
        self._add = self._sink.write
        self._keep = keep
        self._advance = advance
        self._written: dict[Node, bytes] = {}

    def write(self, files: Mapping[bytes, File]) -> None:
        for path, file in files.items():
            node = file.node
            first = self._written.setdefault(node, path)
            if first is path and isinstance(node, Recalled) and node.header and node.path == path:
                self._recalled(node, file.layer)
                continue
            member = file.member
            pax = {XATTR + key: value for key, value in own_xattrs(member) if self._keep(key)}
            name = path + b"/" if member.type == tar.FOLDER and path else path or b"./"
            member = member._replace(name=name, pax=pax, size=0)
            if first is not path:
                self._add(tar.header(member._replace(type=tar.HARDLINK, link=first)))
            elif member.type in tar.FILES:
                self._file(member, file)
            else:
                self._add(tar.header(member))
        self._add(tar.END)
        self._sink.flush()

    def _recalled(self, node: Recalled, number: int) -> None:
        """Write what is as it was when its header was made."""
        self._add(node.header)
        member = node.member
        if member.size and member.type in tar.FILES:
            source = self._sources[number]
            assert isinstance(source, Layer)
            self._content(source.fd, Sparse(member.size, [Piece(0, member.size, member.offset)]))

    def _file(self, member: Member, file: File) -> None:
        source = self._sources[file.layer]
        if isinstance(source, Layer):
            whole = content(source.fd, file.member, source.what)
            self._add(tar.header(member._replace(type=tar.FILE, size=whole.size, link=b"")))
            self._content(source.fd, whole)
            return
        try:
            fd = syscalls.openat2(source, file.member.name, _READ, resolve=_RESOLVE)
        except OSError:
            return  # it has just been removed or replaced
        try:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode):
                self._add(tar.header(member._replace(size=status.st_size)))
                pieces = content(fd, member._replace(size=status.st_size, pax={}), "")
                self._content(fd, pieces)
        finally:
            os.close(fd)

    def _content(self, fd: int, whole: Sparse) -> None:
        size = whole.size
        if size <= SMALL:
            # Most files are small, and have no holes.
            plain = len(whole.pieces) == 1 and whole.pieces[0].size == size
            self._add(
                os.pread(fd, size, whole.pieces[0].offset) if plain else whole.read(fd, 0, size)
            )
            self._add(bytes(-size % tar.BLOCK))
            self._advance(size)
            return
        at = 0
        for piece in whole.pieces:
            self._zeros(piece.at - at)
            self._sink.copy(fd, piece.size, self._advance, piece.offset)
            at = piece.at + piece.size
        self._zeros(tar.padded(size) - at)

    def _zeros(self, size: int) -> None:
        while size:
            part = min(size, GATHER)
            self._add(bytes(part))
            size -= part
