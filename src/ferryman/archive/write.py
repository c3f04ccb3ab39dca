"""Writing an archive: the docker form of version 25 and later, and the OCI layout, in a tar.

Everything is known before the first byte goes out, so nothing is staged: headers from memory,
blobs by the kernel from the store's files.  The same images give the same bytes.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from ferryman.archive import bases, deltas, docker, oci, tar
from ferryman.archive.bases import Base
from ferryman.archive.deltas import Prepared
from ferryman.archive.intake import Advance
from ferryman.errors import StoreError
from ferryman.image import digest as digests
from ferryman.image.decode import encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import IMAGE_NAME, OCI_INDEX, REF_NAME, Descriptor, Index
from ferryman.image.reference import Reference
from ferryman.store import blobs
from ferryman.store.durable import write_all, written_back
from ferryman.store.layout import Store

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_COPY = 8 << 20


class Saved(NamedTuple):
    """One image to be written, under these names (none: by its digest alone)."""

    target: Descriptor
    names: tuple[Reference, ...]
    blobs: tuple[Descriptor, ...]
    """All that the target leads to, itself included."""
    config: Descriptor
    layers: tuple[Descriptor, ...]
    """Config and layers for the platform that `docker load` is to see."""
    base: Base | None = None
    """What the place that it goes to has already: blobs of that are left out of `blobs`."""
    deltas: tuple[Prepared, ...] = ()
    """What goes in the place of layers that are left out."""
    companions: tuple[Descriptor, ...] = ()
    """The manifests of what belongs to it, signatures and SBOMs; they are among the blobs, too."""


class Part(NamedTuple):
    """A piece of the archive: bytes, or a blob of the store with its size."""

    content: bytes
    blob: Digest | None = None
    size: int = 0
    """The bytes of the blob; the padding behind it is part of what is written."""
    path: str | None = None
    """Where the blob lies, if it is not one of the store's."""


def parts(images: Sequence[Saved], form: str) -> Iterator[Part]:
    """Yield the whole archive, in order.

    `form` is "docker", as docker 25 and later write it; "oci", a layout alone; or "docker-archive",
    of which all that names blobs is ``manifest.json``: layers may have other digests in there than
    the image's manifest knows them by.
    """
    prepared = _prepared(images)
    # The small documents come first: a reader of a stream then knows what is to come.
    for name, content in documents(images, form):
        yield file(name, content)
    needed = {blob.id: blob for image in images for blob in image.blobs}
    paths = {each.delta.blob.id: each.path for each in prepared.values()}
    needed |= {each.delta.blob.id: each.delta.blob for each in prepared.values()}
    yield Part(tar.folder_header("blobs/"))
    folder = ""
    for digest in sorted(needed):
        if digest.algorithm != folder:
            folder = digest.algorithm
            yield Part(tar.folder_header(f"blobs/{folder}/"))
        size = needed[digest].size
        yield Part(tar.file_header(oci.part_name(digest), size), digest, size, paths.get(digest))
    yield Part(tar.END)


def documents(images: Sequence[Saved], form: str) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of all that the archive holds beside its blobs."""
    prepared = _prepared(images)
    described, more = deltas.artifact([prepared[key].delta for key in sorted(prepared)])
    if form != "docker-archive":
        yield oci.LAYOUT, _LAYOUT
        yield oci.INDEX, encode(_index(images, form, [described] if prepared else []))
    if form != "oci":
        yield docker.MANIFEST, encode(_manifest(images))
        if repositories := _repositories(images):
            yield "repositories", encode(repositories)
    for digest, content in sorted(more.items()) if prepared else ():
        yield oci.part_name(digest), content


def _prepared(images: Sequence[Saved]) -> dict[Digest, Prepared]:
    """Return the deltas that go in the place of layers, by what they make."""
    return {each.delta.result: each for image in images for each in image.deltas}


def length(images: Sequence[Saved], form: str) -> int:
    """Return the size of the archive in bytes."""
    return sum(len(part.content) + tar.padded(part.size) for part in parts(images, form))


def file(name: str, content: bytes) -> Part:
    """Return a small file of an archive, whole."""
    return Part(tar.file_header(name, len(content)) + content + bytes(-len(content) % tar.BLOCK))


def descriptors(images: Sequence[Saved], form: str) -> list[Descriptor]:
    """Return what an index says of images: one descriptor for each name; `form` as for parts."""
    found: list[Descriptor] = []
    for image in images:
        if not image.names:
            found.append(image.target)
        for name in image.names:
            annotations = dict(image.target.annotations or {})
            annotations[IMAGE_NAME] = name.canonical
            # docker writes the tag alone here; podman and skopeo look for the whole name.
            annotations[REF_NAME] = (name.tag or "") if form == "docker" else name.canonical
            found.append(msgspec.structs.replace(image.target, annotations=annotations))
    companions = {each.digest: each for image in images for each in image.companions}
    found += companions.values()
    return found


def _index(images: Sequence[Saved], form: str, artifacts: list[Descriptor]) -> Index:
    said = bases.annotations([image.base for image in images if image.base])
    return Index(
        schema_version=2,
        media_type=OCI_INDEX,
        manifests=descriptors(images, form) + artifacts,
        annotations=said,
    )


def _manifest(images: Sequence[Saved]) -> list[docker.Entry]:
    return [
        docker.Entry(
            config=oci.part_name(image.config.id),
            repo_tags=[name.familiar for name in image.names if name.tag] or None,
            layers=[oci.part_name(layer.id) for layer in image.layers],
        )
        for image in images
    ]


def _repositories(images: Sequence[Saved]) -> dict[str, dict[str, str]]:
    """Return what docker before 1.10 read; writers keep it up, with the top layer for an ID."""
    repositories: dict[str, dict[str, str]] = {}
    for image in images:
        top = image.layers[-1] if image.layers else image.config
        for name in image.names:
            if name.tag:
                repositories.setdefault(name.familiar_name, {})[name.tag] = top.id.encoded
    return repositories


class Sink(Protocol):
    """Where an archive goes."""

    def write(self, content: bytes) -> None:
        """Take some bytes."""

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Take `size` bytes of a file, from byte `start` on."""


class FileSink:
    """A regular file: the kernel copies, or shares the blocks where the filesystem can."""

    def __init__(self, fd: int) -> None:
        """Write from where the descriptor stands."""
        self._fd = fd
        self._copy: Callable[[int, int, int], int] = self._copy_range

    def write(self, content: bytes) -> None:
        """Take some bytes."""
        write_all(self._fd, content)

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Take `size` bytes of a file, from byte `start` on."""
        if size <= _COPY:
            self._copy_all(fd, size, start, advance)
            return
        at = os.lseek(self._fd, 0, os.SEEK_CUR)
        with written_back(self._fd) as write_back:

            def copied(n: int) -> None:
                nonlocal at
                write_back(at, n)
                at += n
                advance(n)

            self._copy_all(fd, size, start, copied)

    def _copy_all(self, fd: int, size: int, start: int, advance: Advance) -> None:
        done = 0
        while done < size:
            try:
                n = self._copy(fd, min(_COPY, size - done), start + done)
            except OSError as e:
                if self._copy == self._copy_range and e.errno in _NOT_SUPPORTED:
                    self._copy = self._read_and_write
                    continue
                raise
            if not n:
                raise StoreError("a blob has become shorter while it was read")
            done += n
            advance(n)

    def _copy_range(self, fd: int, size: int, start: int) -> int:
        return os.copy_file_range(fd, self._fd, size, start)

    def _read_and_write(self, fd: int, size: int, start: int) -> int:
        content = os.pread(fd, min(size, 1 << 20), start)
        write_all(self._fd, content)
        return len(content)


# Two filesystems of unlike kinds, an output opened to append, an old kernel.
_NOT_SUPPORTED = frozenset(
    (errno.EXDEV, errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
)


class PipeSink:
    """A pipe or socket: the kernel passes the pages on."""

    def __init__(self, fd: int) -> None:
        """Write to the descriptor."""
        self._fd = fd

    def write(self, content: bytes) -> None:
        """Take some bytes."""
        write_all(self._fd, content)

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Take `size` bytes of a file, from byte `start` on."""
        done = 0
        while done < size:
            n = os.sendfile(self._fd, fd, start + done, min(_COPY, size - done))
            if not n:
                raise StoreError("a blob has become shorter while it was read")
            done += n
            advance(n)


class CompressedSink:
    """A compressor in front of a file or pipe."""

    def __init__(self, compressor: "Compressor") -> None:
        """Compress everything with `compressor`, which writes on."""
        self._compressor = compressor

    def write(self, content: bytes) -> None:
        """Take some bytes."""
        self._compressor.write(content)

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Take `size` bytes of a file, from byte `start` on."""
        view = memoryview(bytearray(1 << 20))
        done = 0
        while done < size:
            n = os.preadv(fd, [view[: min(len(view), size - done)]], start + done)
            if not n:
                raise StoreError("a blob has become shorter while it was read")
            self._compressor.write(view[:n])
            done += n
            advance(n)


class HashedSink:
    """A file whose digest is known once it is written."""

    def __init__(self, fd: int) -> None:
        """Write from where the descriptor stands."""
        self._fd = fd
        self._hash = digests.hasher()
        self.size = 0
        """The bytes so far."""

    @property
    def digest(self) -> Digest:
        """The digest of all that was written."""
        return digests.finished(self._hash)

    def write(self, content: bytes | memoryview) -> None:
        """Take some bytes."""
        self._hash.update(content)
        write_all(self._fd, content)
        self.size += len(content)

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Take `size` bytes of a file, from byte `start` on."""
        view = memoryview(bytearray(min(size, 1 << 20)))
        done = 0
        while done < size:
            n = os.preadv(fd, [view[: min(len(view), size - done)]], start + done)
            if not n:
                raise StoreError("a file has become shorter while it was read")
            self.write(view[:n])
            done += n
            advance(n)


class Compressor(Protocol):
    """What compresses and passes on; to be closed at the end."""

    def write(self, content: bytes | memoryview, /) -> object:
        """Take some bytes."""


def write(
    store: Store,
    images: Sequence[Saved],
    form: str,
    sink: Sink,
    advance: Callable[[Digest, int], None],
) -> None:
    """Write the archive; `advance` hears of each piece of each blob.

    Raises StoreError when a blob is missing or has another size than its descriptor says, OSError
    when the sink cannot take more.
    """
    pending = b""
    for part in parts(images, form):
        # Small pieces are gathered, so that a pipe or disk sees few writes.
        pending += part.content
        if part.blob is None:
            continue
        fd = (
            os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
            if part.path
            else blobs.open_blob(store, part.blob)
        )
        try:
            if (here := os.fstat(fd).st_size) != part.size:
                raise StoreError(
                    f"blob {part.blob} of the store {store.root} has {here} bytes instead of "
                    f"{part.size}: run `ferry system check --repair`"
                )
            sink.write(pending)
            digest = part.blob
            sink.copy(fd, part.size, partial(advance, digest))
        finally:
            os.close(fd)
        pending = bytes(-part.size % tar.BLOCK)
    sink.write(pending)
