"""``docker-archive:PATH[:REFERENCE]`` and ``oci-archive:PATH[:REFERENCE]``: images in a tar.

A tar that is compressed, or comes by a pipe, is written aside first, since it is read in any order.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ferryman.archive import bases, compression, read, tar, write
from ferryman.archive.candidate import Candidate, Layer
from ferryman.archive.oci import INDEX, LAYOUT, part_name
from ferryman.archive.source import TarSource
from ferryman.archive.stream import (
    CHUNK,
    Bounded,
    BytesStream,
    FileStream,
    PipeStream,
    RewoundStream,
    Stream,
)
from ferryman.archive.write import Saved
from ferryman.errors import ImageNotFound, InvalidArchive, InvalidReference
from ferryman.image import digest as digests
from ferryman.image import manifest as kinds
from ferryman.image import reference as references
from ferryman.image.decode import encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.image.reference import Reference
from ferryman.store.durable import write_all
from ferryman.transfer.ends import files
from ferryman.transfer.ends.contract import ANY, OCI, Content, CopyError, Document, Image
from ferryman.transfer.ends.convert import unnamed
from ferryman.transfer.ends.layout import LAYOUT_FILE, LayoutSource, with_image

_MAX_UNPACKED = 1 << 40
_LAYERS = {
    "none": kinds.OCI_LAYER,
    "gzip": kinds.OCI_LAYER_GZIP,
    "zstd": kinds.OCI_LAYER_ZSTD,
}


@contextmanager
def opened(path: str, what: str) -> Iterator[TarSource]:
    """Open an archive in a file or pipe; raises CopyError, InvalidArchive."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise CopyError(f"{what}: open {path}: {(e.strerror or '').lower()}") from None
    try:
        if os.path.isdir(path):
            raise CopyError(f"{what}: {path} is a folder, not an archive")
        if os.path.isfile(path):
            head = os.pread(fd, compression.HEAD, 0)
            form = compression.recognise(head)
            if form == "none":
                yield TarSource(fd, what)
                return
            stream: Stream = FileStream(fd, 0, os.fstat(fd).st_size, what)
        else:
            stream = PipeStream(fd, what)
        with spooled(stream, what) as source:
            yield source
    finally:
        os.close(fd)


@contextmanager
def spooled(stream: Stream, what: str) -> Iterator[TarSource]:
    """Read an archive that comes once; raises InvalidArchive, StoreError when there is no room."""
    head = stream.read(compression.HEAD)
    whole = RewoundStream(head, stream)
    plain = compression.decompressed(whole, compression.recognise(head), what)
    with unnamed() as fd:
        room = os.fstatvfs(fd)
        try:
            files.pump(Bounded(plain, room.f_bavail * room.f_frsize, what), fd)
        except OSError as e:
            raise CopyError(f"{what}: cannot write it aside: {e.strerror}") from None
        yield TarSource(fd, what)


class ArchiveSource:
    """An image of an archive that ``manifest.json`` names, with the layout's manifest if it has."""

    repository = ""

    def __init__(self, source: TarSource, reference: str) -> None:
        """Read the image of a reference (a name, ``@NUMBER``, an ID), or the only one.

        Raises ImageNotFound, InvalidArchive, CopyError.
        """
        self.what = source.what
        self._source = source
        meant = _meant(read.candidates(source), reference, source.what)
        self._documents = dict(meant.documents)
        self._parts: dict[str, str] = {}
        if meant.target:
            target = meant.target
            self._target = Descriptor(target.media_type, target.digest, target.size)
        else:
            self._target = self._made_up(meant)

    def _made_up(self, meant: Candidate) -> Descriptor:
        """Make a manifest, which a docker-archive has none of: the one that `load` makes."""
        part = meant.parts[0]
        layers: list[Descriptor] = []
        for layer in part.layers:
            if layer.part is None:
                based = bases.of(self._source)
                advice = f"; it goes on top of {bases.listed(based)}" if based else ""
                raise CopyError(f"{self.what}: layer {layer.diff_id} is not in it{advice}")
            found = _described(self._source, layer)
            self._parts[found.digest] = layer.part
            layers.append(found)
        config = Descriptor(
            kinds.OCI_CONFIG, part.config_digest, len(meant.documents[part.config_digest])
        )
        manifest = Manifest(
            schema_version=2, media_type=kinds.OCI_MANIFEST, config=config, layers=layers
        )
        content = encode(manifest)
        digest = digests.of(content)
        self._documents[digest] = content
        return Descriptor(kinds.OCI_MANIFEST, digest, len(content))

    def target(self) -> Document:
        """Return the manifest or index."""
        return Document(self._target, self._documents[self._target.id])

    def document(self, wanted: Descriptor) -> bytes:
        """Return a manifest or index; raises CopyError."""
        found = self._documents.get(wanted.id)
        if found is None:
            raise CopyError(f"{self.what}: manifest {wanted.digest} is missing")
        return found

    @contextmanager
    def blob(self, wanted: Descriptor) -> Iterator[Stream]:
        """Give the content of a blob."""
        content = self._documents.get(wanted.id)
        if content is not None:
            yield BytesStream(content)
            return
        name = self._parts.get(wanted.digest, part_name(wanted.id))
        found = self._source.find(name)
        if found is None:
            raise CopyError(f"{self.what}: blob {wanted.digest} is missing")
        yield self._source.content(found)


def _meant(found: list[Candidate], reference: str, what: str) -> Candidate:
    if not reference:
        if len(found) != 1:
            raise CopyError(f"{what} holds {len(found)} images: say which one, behind a colon")
        return found[0]
    if reference.startswith("@"):
        number = reference[1:]
        if not number.isdecimal() or int(number[:9]) >= len(found):
            raise ImageNotFound(f"{what}: there is no image {reference} in it")
        return found[int(number)]
    try:
        wanted = references.parse(reference).tagged()
    except InvalidReference as e:
        raise CopyError(f"{what}: {e}") from None
    for candidate in found:
        if wanted in candidate.names:
            return candidate
    raise ImageNotFound(f"{what}: no image {wanted.familiar} in it")


def _described(source: TarSource, layer: Layer) -> Descriptor:
    """Return a layer as it lies in an archive that knows it by its diff ID alone."""
    assert layer.part is not None
    assert layer.diff_id is not None
    what, size = f"{source.what}: {layer.part}", source.size(layer.part)
    form = compression.recognise(source.content(layer.part).read(min(size, compression.HEAD)))
    if form == "none":
        return Descriptor(kinds.OCI_LAYER, layer.diff_id, size)
    if form not in _LAYERS:
        raise InvalidArchive(f"{what} is compressed by {form}: load the archive, and copy ferry:…")
    # Nobody has said its digest yet, so it is read one time more than others.
    hashed = _Hashed(source.content(layer.part))
    unpacked = digests.hasher()
    plain = Bounded(compression.decompressed(hashed, form, what), _MAX_UNPACKED, what)
    view = memoryview(bytearray(CHUNK))
    while n := plain.readinto(view):
        unpacked.update(view[:n])
    while hashed.readinto(view):
        continue
    if (found := digests.finished(unpacked)) != layer.diff_id:
        raise InvalidArchive(
            f'{source.what}: invalid diffID for layer {layer.part}: expected "{layer.diff_id}", '
            f'got "{found}"'
        )
    return Descriptor(_LAYERS[form], digests.finished(hashed.hash), size)


class _Hashed(Stream):
    """A stream of which the hash is taken as it is read."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.hash = digests.hasher()
        self._stream = stream

    def readinto(self, view: memoryview) -> int:
        n = self._stream.readinto(view)
        self.hash.update(view[:n])
        return n


class _TarShelf:
    """An archive as a shelf to read from (see `layout.Readable`)."""

    def __init__(self, source: TarSource) -> None:
        self.what = source.what
        self._source = source

    def read(self, name: str, limit: int) -> bytes | None:
        content = self._source.document(name)
        if content is not None and len(content) > limit:
            raise CopyError(f"{self.what}: {name} has {len(content)} bytes instead of {limit}")
        return content

    @contextmanager
    def opened(self, name: str) -> Iterator[Stream]:
        found = self._source.find(name)
        if found is None:
            raise CopyError(f"{self.what}: {name} is missing")
        yield self._source.content(found)


def layout_source(source: TarSource, reference: str) -> LayoutSource:
    """Return an image of a layout in an archive."""
    return LayoutSource(_TarShelf(source), reference)


class _Out(NamedTuple):
    """A tar that is written in order, to a file or a pipe."""

    fd: int
    written: set[str]

    def blob(self, blob: Descriptor, content: Content) -> None:
        self._folder(blob.id)
        write_all(self.fd, tar.file_header(part_name(blob.id), blob.size))
        with content() as stream:
            files.pump(stream, self.fd, flush=False)
        write_all(self.fd, bytes(-blob.size % tar.BLOCK))

    def document(self, digest: Digest, content: bytes) -> None:
        self._folder(digest)
        write_all(self.fd, write.file(part_name(digest), content).content)

    def _folder(self, digest: Digest) -> None:
        for name in ("blobs/", f"blobs/{digest.algorithm}/"):
            if name not in self.written:
                self.written.add(name)
                write_all(self.fd, tar.folder_header(name))

    def end(self, others: Iterator[tuple[str, bytes]]) -> None:
        for name, content in others:
            write_all(self.fd, write.file(name, content).content)
        write_all(self.fd, tar.END)


class ArchiveDestination:
    """An archive that is written in the order in which blobs come."""

    keeps = True
    at_once = 1

    def __init__(self, fd: int, what: str, form: str, reference: str) -> None:
        """Write to a file or pipe; `form` is "docker" or "oci".

        Raises CopyError when a docker-archive is to have a name that is none.
        """
        self.what = what
        self.manifests = ANY if form == "docker" else OCI
        self._out = _Out(fd, set())
        self._form = form
        self._reference = reference
        self._names: tuple[Reference, ...] = ()
        if form == "docker" and reference:
            self._names = (named(reference, what),)

    def has(self, blob: Descriptor) -> bool:
        """Tell that nothing is there."""
        return False

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob; raises OSError."""
        self._out.blob(blob, content)

    def finish(self, image: Image) -> None:
        """Take the manifests, and end the archive; raises OSError, CopyError."""
        for digest, document in image.documents.items():
            self._out.document(digest, document.content)
        if self._form == "docker":
            self._out.end(write.documents([self._saved(image)], "docker"))
        else:
            index = with_image(None, image.target, self._reference, self.what)
            self._out.end(iter(((LAYOUT, LAYOUT_FILE), (INDEX, index))))

    def _saved(self, image: Image) -> Saved:
        content = image.documents[image.manifest.id].content
        manifest = kinds.parse(content, f"manifest {image.manifest.digest}")
        if not isinstance(manifest, Manifest) or not kinds.is_image(manifest):
            raise CopyError(f"{self.what}: {image.manifest.digest} is no image that can be loaded")
        return Saved(image.target, self._names, (), manifest.config, tuple(manifest.layers or ()))


def named(reference: str, what: str) -> Reference:
    """Return the name that an image is to have; raises CopyError."""
    try:
        name = references.parse(reference).tagged()
    except InvalidReference as e:
        raise CopyError(f"{what}: {e}") from None
    if name.digest:
        raise CopyError(f"{what}: an image cannot be named by a digest")
    return name


@contextmanager
def destination(path: str, what: str, form: str, reference: str) -> Iterator[ArchiveDestination]:
    """Give an archive that is there once the block ends well; raises CopyError."""
    if os.path.isdir(path):
        raise CopyError(f"{what}: {path} is a folder")
    if os.path.exists(path) and not os.path.isfile(path):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield ArchiveDestination(fd, what, form, reference)
        finally:
            os.close(fd)
        return
    if form == "docker" and files.size(path):
        raise CopyError(f"{what}: {path} is there already, and images are not added to archives")
    with files.replacing(path) as fd:
        yield ArchiveDestination(fd, what, form, reference)
