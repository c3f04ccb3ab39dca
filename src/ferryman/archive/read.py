"""An archive, whatever it is, as a list of images: opened, recognised, read."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from ferryman.archive import compression, docker, oci
from ferryman.archive.candidate import Candidate
from ferryman.archive.documents import Documents
from ferryman.archive.intake import Advance, nothing
from ferryman.archive.source import FolderSource, Source, SpooledSource, TarSource
from ferryman.archive.stream import CHUNK, Counted, FileStream, PipeStream, RewoundStream, Stream
from ferryman.errors import InvalidArchive
from ferryman.image.digest import ALGORITHMS, Digest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.store.lease import Lease

_REST = 1 << 20
_HEAD = 40
_MAX_NAMES = 10_000


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


def is_encrypted(head: bytes) -> bool:
    """Tell whether content that begins like this is encrypted by age."""
    return head.startswith(compression.ENCRYPTED)


def encrypted(what: str) -> InvalidArchive:
    """Return the error that says what to do about that."""
    return InvalidArchive(f"{what} is encrypted with age: name the key for it by --identity FILE")


def source(
    given: int | Stream,
    what: str,
    lease: Lease | None,
    advance: Advance = nothing,
    total: Callable[[int], None] = nothing,
    *,
    check: bool = False,
) -> Source:
    """Return the parts of an archive: a folder, a plain tar in a file, or a tar that goes by once.

    The last kind (pipes, compressed archives and any other stream) is read to its end here;
    `advance` hears of each piece, and `total` of the size in bytes, where it is known.  With
    `check` its layers can be looked at without a lease.  Raises InvalidArchive, StoreError.
    """
    if isinstance(given, Stream):
        total(given.length)
        head = given.read(compression.HEAD)
        source = _going_by(RewoundStream(head, given), head, what, lease, advance, check)
        # What checks itself as it goes by does so at its end.
        while given.skip(CHUNK):
            continue
        return source
    fd = given
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        return FolderSource(f"/proc/self/fd/{fd}", what)
    stream: Stream
    if stat.S_ISREG(status.st_mode):
        start = os.lseek(fd, 0, os.SEEK_CUR)
        head = os.pread(fd, compression.HEAD, start)
        if compression.recognise(head) == "none" and not start:
            return TarSource(fd, what)
        stream = FileStream(fd, start, status.st_size - start, what)
        total(status.st_size - start)
    else:
        pipe = PipeStream(fd, what)
        head = pipe.read(_HEAD)
        if is_encrypted(head):
            raise encrypted(what)
        stream = RewoundStream(head, pipe)
    return _going_by(stream, head, what, lease, advance, check)


def _going_by(
    stream: Stream, head: bytes, what: str, lease: Lease | None, advance: Advance, check: bool
) -> Source:
    counted = Counted(stream, advance)
    plain = compression.decompressed(counted, compression.recognise(head), what)
    spooled = SpooledSource(plain, what, lease, check=check)
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
    documents = Documents(read_from)
    by_layout = oci.candidates(documents, platform)
    by_manifest = docker.candidates(documents)
    if by_manifest is not None and platform:
        by_manifest = [c for c in by_manifest if c.parts[0].config.platform.matches(platform)]
    if by_layout is None and by_manifest is None:
        raise InvalidArchive(
            f"{read_from.what}: invalid archive: does not contain a {docker.MANIFEST}"
        )
    found: list[Candidate] = []
    names: list[dict[Reference, None]] = []
    place: dict[Digest, int] = {}
    for candidate in [*(by_layout or []), *(by_manifest or [])]:
        at = len(found)
        if candidate.target is None:
            at = place.get(candidate.parts[0].config_digest, at)
        if at == len(found):
            found.append(candidate)
            names.append({})
            for part in candidate.parts:
                place.setdefault(part.config_digest, at)
        names[at].update(dict.fromkeys(candidate.names))
    if not found:
        raise InvalidArchive(f"{read_from.what}: requested platform(s) ([{platform}]) not found")
    _check_names(names, read_from.what)
    return [c.named(tuple(own)) for c, own in zip(found, names, strict=True)]


def _check_names(names: Sequence[Iterable[Reference]], what: str) -> None:
    """Refuse names that stand for two images, that would be taken for IDs, and too many."""
    owner: dict[Reference, int] = {}
    for i, own in enumerate(names):
        for name in own:
            if owner.setdefault(name, i) != i:
                raise InvalidArchive(
                    f"{what}: the name {name.familiar} stands for two images in it"
                )
            if name.familiar_name in ALGORITHMS:
                raise InvalidArchive(f"{what}: the name {name.familiar} would be taken for an ID")
    if len(owner) > _MAX_NAMES:
        raise InvalidArchive(f"{what} has {len(owner)} names, at most {_MAX_NAMES} are read")
