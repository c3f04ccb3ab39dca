"""Image export: an image's merged files as a tar, no container needed (docker/cli#1796)."""

import os
import stat
from collections.abc import Callable, Mapping, Sequence

from ferryman.archive import tar
from ferryman.archive.sparse import Sparse, content
from ferryman.archive.tar import Member
from ferryman.archive.write import FileSink, PipeSink, Sink
from ferryman.image.platform import Platform
from ferryman.operations.layers import opened
from ferryman.operations.output import OutputError
from ferryman.operations.progress import Progress, counter, silent
from ferryman.rootfs import merged
from ferryman.rootfs.members import Layer
from ferryman.rootfs.merged import File
from ferryman.rootfs.tree import XATTR, Node, own_xattrs
from ferryman.store.layout import Store

_GATHER = 1 << 20


def image_export(
    store: Store,
    text: str,
    fd: int,
    *,
    platform: Platform | None = None,
    progress: Progress = silent,
) -> None:
    """Write the files of an image to a file or pipe as one tar, sorted by path.

    Modes, owners, times to the nanosecond, xattrs and hard links are the layers'; whiteouts have
    done their work and are gone, and sparse files are written out whole, as docker exports them.
    Raises ImageNotFound, InvalidArchive, InvalidImage, StoreError, OutputError.
    """
    with opened(store, text, platform) as (_, layers):
        files = merged.merged(layers)
        sink: Sink = FileSink(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else PipeSink(fd)
        total = sum(node.member.size for node in {file.node for file in files.values()})
        advance = counter(progress, text, "Exporting", total)
        try:
            _Export(layers, sink, advance).write(files)
        except BrokenPipeError:
            raise OutputError("failed to export image: nobody reads the output any more") from None
        except OSError as e:
            raise OutputError(f"failed to export image: cannot write: {e.strerror}") from None


class _Export:
    def __init__(self, layers: Sequence[Layer], sink: Sink, advance: Callable[[int], None]) -> None:
        self._layers = layers
        self._sink = sink
        self._advance = advance
        self._pending = bytearray()
        self._written: dict[Node, bytes] = {}

    def write(self, files: Mapping[bytes, File]) -> None:
        for path, file in files.items():
            member = file.member
            xattrs = {XATTR + name: value for name, value in own_xattrs(member)}
            name = path + b"/" if member.type == tar.FOLDER and path else path or b"./"
            member = member._replace(name=name, pax=xattrs, size=0)
            first = self._written.setdefault(file.node, path)
            if first is not path:
                self._add(tar.header(member._replace(type=tar.HARDLINK, link=first)))
            elif member.type in tar.FILES:
                self._file(member, file)
            else:
                self._add(tar.header(member))
        self._add(tar.END)
        self._flush()

    def _file(self, member: Member, file: File) -> None:
        layer = self._layers[file.layer]
        whole = content(layer.fd, file.member, layer.what)
        self._add(tar.header(member._replace(type=tar.FILE, size=whole.size, link=b"")))
        self._content(layer.fd, whole)

    def _content(self, fd: int, whole: Sparse) -> None:
        at = 0
        for piece in whole.pieces:
            self._zeros(piece.at - at)
            self._flush()
            self._sink.copy(fd, piece.size, self._advance, piece.offset)
            at = piece.at + piece.size
        self._zeros(tar.padded(whole.size) - at)

    def _zeros(self, size: int) -> None:
        while size:
            part = min(size, _GATHER)
            self._add(bytes(part))
            size -= part

    def _add(self, part: bytes) -> None:
        self._pending += part
        if len(self._pending) >= _GATHER:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._sink.write(bytes(self._pending))
            self._pending.clear()
