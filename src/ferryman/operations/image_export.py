"""Image export: an image's merged files as a tar, no container needed (docker/cli#1796)."""

import os
import stat

from ferryman.archive.write import FileSink, PipeSink, Sink
from ferryman.image.platform import Platform
from ferryman.operations.layers import opened
from ferryman.operations.output import OutputError
from ferryman.operations.progress import Progress, counter, silent
from ferryman.rootfs import merged, unmounted
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
    done their work and are gone, and sparse files are written out whole, as docker exports them.
    Raises ImageNotFound, InvalidArchive, InvalidImage, StoreError, OutputError.
    """
    with opened(store, text, platform) as (_, layers):
        files = merged.merged(layers)
        sink: Sink = FileSink(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else PipeSink(fd)
        total = sum(node.member.size for node in {file.node for file in files.values()})
        advance = counter(progress, text, "Exporting", total)
        try:
            unmounted.write(files, layers, sink, advance=advance)
        except BrokenPipeError:
            raise OutputError("failed to export image: nobody reads the output any more") from None
        except OSError as e:
            raise OutputError(f"failed to export image: cannot write: {e.strerror}") from None
