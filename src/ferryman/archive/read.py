"""An archive, whatever it is, as a list of images: opened, recognised, read."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ferryman.archive import compression, docker, oci
from ferryman.archive.candidate import Candidate
from ferryman.archive.intake import Advance, nothing
from ferryman.archive.source import FolderSource, Source, SpooledSource, TarSource
from ferryman.archive.stream import Counted, FileStream, PipeStream, RewoundStream, Stream
from ferryman.errors import InvalidArchive
from ferryman.image.digest import Digest
from ferryman.image.platform import Platform
from ferryman.store.lease import Lease

_REST = 1 << 20


@contextmanager
def opened(path: str, fd: int | None = None) -> Iterator[int]:
    """Open a file or folder to read, unless it is open; raises InvalidArchive."""
    if fd is not None:
        yield fd
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise InvalidArchive(f"open {path}: {(e.strerror or '').lower()}") from None
    try:
        yield fd
    finally:
        os.close(fd)


def source(
    fd: int,
    what: str,
    lease: Lease | None,
    advance: Advance = nothing,
    total: Callable[[int], None] = nothing,
) -> Source:
    """Return the parts of an archive: a folder, a plain tar in a file, or a tar that goes by once.

    The last kind (pipes, and compressed archives) is read to its end here; `advance` hears of each
    piece, and `total` of the size in bytes, where it is known.  Raises InvalidArchive, StoreError.
    """
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        return FolderSource(f"/proc/self/fd/{fd}", what)
    stream: Stream
    if stat.S_ISREG(status.st_mode):
        start = os.lseek(fd, 0, os.SEEK_CUR)
        head = os.pread(fd, compression.HEAD, start)
        form = compression.recognise(head)
        if form == "none" and not start:
            return TarSource(fd, what)
        stream = FileStream(fd, start, status.st_size - start, what)
        total(status.st_size - start)
    else:
        pipe = PipeStream(fd, what)
        head = pipe.read(compression.HEAD)
        form = compression.recognise(head)
        stream = RewoundStream(head, pipe)
    counted = Counted(stream, advance)
    plain = compression.decompressed(counted, form, what)
    spooled = SpooledSource(plain, what, lease)
    # What follows the end marker is read too: compressed content tells only at its very end
    # whether it is whole, and whoever writes to a pipe is not to be cut off.
    plain.skip(_REST)
    counted.skip(_REST)
    return spooled


def candidates(read_from: Source, platform: Platform | None = None) -> list[Candidate]:
    """Return the images of an archive, only those for `platform` if one is given.

    An archive may be of both kinds at once, as docker's have been since version 25: manifests are
    the layout's, and the names of ``manifest.json`` are added to them.  Raises InvalidArchive.
    """
    by_layout = oci.candidates(read_from, platform)
    by_manifest = docker.candidates(read_from)
    if by_manifest is not None and platform:
        by_manifest = [c for c in by_manifest if c.parts[0].config.platform.matches(platform)]
    if by_layout is None and by_manifest is None:
        raise InvalidArchive(
            f"{read_from.what}: invalid archive: does not contain a {docker.MANIFEST}"
        )
    found = list(by_layout or [])
    for candidate in by_manifest or []:
        config = candidate.parts[0].config_digest
        at = next((i for i, c in enumerate(found) if _holds(c, config)), None)
        if at is None:
            found.append(candidate)
        else:
            names = tuple(dict.fromkeys(found[at].names + candidate.names))
            found[at] = found[at].named(names)
    if not found:
        raise InvalidArchive(f"{read_from.what}: requested platform(s) ([{platform}]) not found")
    return _apart(found)


def _holds(candidate: Candidate, config: Digest) -> bool:
    return any(part.config_digest == config for part in candidate.parts)


def _apart(found: list[Candidate]) -> list[Candidate]:
    """Refuse an archive in which one name stands for two images."""
    owner: dict[str, int] = {}
    for i, candidate in enumerate(found):
        for name in candidate.names:
            if owner.setdefault(name.canonical, i) != i:
                raise InvalidArchive(f"the name {name.familiar} stands for two images in it")
    return found
