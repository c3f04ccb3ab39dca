"""Image export: an image's merged files as a tar, no container needed (docker/cli#1796)."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence

from ferryman.archive import tar
from ferryman.archive.tar import Member
from ferryman.archive.write import FileSink, PipeSink, Sink
from ferryman.image.platform import Platform
from ferryman.operations.layers import opened
from ferryman.operations.output import OutputError
from ferryman.operations.progress import Progress, counter, silent
from ferryman.rootfs import merged
from ferryman.rootfs.merged import File, Layer
from ferryman.store.layout import Store


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
    done their work and are gone.  Raises ImageNotFound, InvalidArchive, InvalidImage, StoreError,
    OutputError.
    """
    with opened(store, text, platform) as (_, layers):
        tree = merged.merged(layers)
        sink: Sink = FileSink(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else PipeSink(fd)
        total = sum(file.member.size for file in tree.values())
        advance = counter(progress, text, "Exporting", total)
        try:
            _write(tree, layers, sink, advance)
        except BrokenPipeError:
            raise OutputError("failed to export image: nobody reads the output any more") from None
        except OSError as e:
            raise OutputError(f"failed to export image: cannot write: {e.strerror}") from None


def _write(
    tree: dict[bytes, File], layers: Sequence[Layer], sink: Sink, advance: Callable[[int], None]
) -> None:
    pending = b""
    for header, layer, member in _entries(tree, layers):
        pending += header
        if member is None or not member.size:
            if len(pending) > 1 << 20:
                sink.write(pending)
                pending = b""
            continue
        sink.write(pending)
        sink.copy(layers[layer].fd, member.size, advance, member.offset)
        pending = bytes(-member.size % tar.BLOCK)
    sink.write(pending + tar.END)


def _entries(
    tree: dict[bytes, File], layers: Sequence[Layer]
) -> Iterator[tuple[bytes, int, Member | None]]:
    """Yield headers, and where the content to be put behind each lies."""
    contents = _contents(tree, layers)
    written: dict[tuple[int, bytes], bytes] = {}
    # By components: what is in a folder follows it at once, before its neighbours.
    for path in sorted(tree, key=lambda path: path.split(b"/")):
        member, layer = tree[path]
        name = path + b"/" if member.type == tar.FOLDER and path else path or b"./"
        if member.type not in (tar.FILE, tar.HARDLINK):
            yield tar.header(member._replace(name=name, size=0)), layer, None
            continue
        source, content = contents[path]
        if (layer, source) in written:
            # Another name of what has been written: whichever name came first has the content.
            first = written[layer, source]
            yield (
                tar.header(content._replace(name=name, type=tar.HARDLINK, link=first, size=0)),
                layer,
                None,
            )
            continue
        written[layer, source] = path
        yield tar.header(content._replace(name=name, link=b"")), layer, content


def _contents(
    tree: dict[bytes, File], layers: Sequence[Layer]
) -> dict[bytes, tuple[bytes, Member]]:
    """Return, for each file's path, the path in its layer that has the content, and its member.

    A hard link's target may itself be hidden by a layer above.
    """
    linked = {file.layer for file in tree.values() if file.member.type == tar.HARDLINK}
    inside = {
        number: {
            path: member
            for path, member in merged.members(layers[number])
            if member.type in (tar.FILE, tar.HARDLINK)
        }
        for number in linked
    }
    contents: dict[bytes, tuple[bytes, Member]] = {}
    for path, (member, layer) in tree.items():
        if member.type == tar.FILE:
            contents[path] = path, member
        elif member.type == tar.HARDLINK:
            source = merged.inode(inside[layer], path, layers[layer].what)
            contents[path] = source, inside[layer][source]
    return contents
