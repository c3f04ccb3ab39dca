"""What a source has under a name, read and verified up to the blobs, of which nothing is read."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ferryman.errors import ImageNotFound
from ferryman.image import config as configs
from ferryman.image import manifest as kinds
from ferryman.image import platform as platforms
from ferryman.image.decode import MAX_JSON
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index, Manifest
from ferryman.image.platform import Platform
from ferryman.transfer.ends import verified
from ferryman.transfer.ends.contract import CopyError, Document, Image, Source

_MAX_NESTING = 4
_MAX_DOCUMENTS = 2_000
_MAX_TOTAL = 64 << 20


class _Read(NamedTuple):
    """A manifest or index, and its value."""

    document: Document
    value: Manifest | Index


def gather(source: Source, *, every: bool = False, platform: Platform | None = None) -> Image:
    """Return what the target of a source leads to.

    Of an index that is the image for `platform`, or for this machine; with `every`, the index with
    all that it names.  Raises ImageNotFound (not for this platform), CopyError, InvalidImage, and
    what the source raises.
    """
    reader = _Reader(source)
    first = reader.checked(source.target())
    if isinstance(first.value, Index):
        best = _chosen(reader, first.value, platform)
        if every:
            if best is None:
                best = next(iter(_manifests(reader, first.value, _MAX_NESTING)), None)
            if best is None:
                raise CopyError(f"{source.what}: index {first.document.descriptor.digest} is empty")
        elif best is None:
            raise ImageNotFound(
                f"{source.what}: no image for {platform or platforms.host()} in the index "
                f"{first.document.descriptor.digest}"
            )
        else:
            best = _bare(best)
            first = reader.read(best)
    else:
        best = first.document.descriptor
        if platform:
            _check_platform(source, first.value, platform)
    documents: dict[Digest, Document] = {}
    blobs: dict[Digest, Descriptor] = {}
    _collect(reader, first, documents, blobs, _MAX_NESTING)
    return Image(first.document.descriptor, documents, blobs, best)


def _bare(descriptor: Descriptor) -> Descriptor:
    """Return a descriptor without what an index says of its place in it."""
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)


class _Reader:
    """The documents of a source, each read once, and bounded all together."""

    def __init__(self, source: Source) -> None:
        self.what = source.what
        self._source = source
        self._known: dict[str, _Read] = {}
        self._total = 0

    def read(self, wanted: Descriptor) -> _Read:
        known = self._known.get(wanted.digest)
        if known is None:
            if wanted.size > MAX_JSON:
                raise CopyError(
                    f"{self.what}: manifest {wanted.digest} is too large: {wanted.size} bytes"
                )
            known = self.checked(Document(wanted, self._source.document(wanted)))
        if known.document.descriptor.size != wanted.size:
            raise CopyError(f"{self.what}: manifest {wanted.digest} is given several sizes")
        return known

    def checked(self, document: Document) -> _Read:
        descriptor, content = document
        running = descriptor.id.hasher()
        running.update(content)
        if running.hexdigest() != descriptor.id.encoded or len(content) != descriptor.size:
            raise CopyError(
                f"{self.what}: manifest {descriptor.digest} is damaged: it has {len(content)} "
                f"bytes and the digest {descriptor.id.algorithm}:{running.hexdigest()}"
            )
        self._total += len(content)
        if len(self._known) == _MAX_DOCUMENTS or self._total > _MAX_TOTAL:
            raise CopyError(f"{self.what}: it names more manifests than are read")
        value = kinds.parse(content, f"{self.what}: manifest {descriptor.digest}")
        known = kinds.INDEX_TYPES if isinstance(value, Index) else kinds.MANIFEST_TYPES
        usual = kinds.OCI_INDEX if isinstance(value, Index) else kinds.OCI_MANIFEST
        said = descriptor.media_type if descriptor.media_type in known else ""
        kind = value.media_type or said or usual
        if descriptor.media_type in kinds.MANIFEST_TYPES | kinds.INDEX_TYPES and (
            descriptor.media_type != kind
        ):
            raise CopyError(
                f"{self.what}: manifest {descriptor.digest} is said to be "
                f"{descriptor.media_type}, but it is {kind}"
            )
        right = msgspec.structs.replace(descriptor, media_type=kind)
        read = self._known[descriptor.digest] = _Read(Document(right, content), value)
        return read


def _manifests(reader: _Reader, index: Index, depth: int) -> Sequence[Descriptor]:
    found: list[Descriptor] = []
    for child in index.manifests or []:
        if child.media_type in kinds.MANIFEST_TYPES:
            found.append(child)
        elif child.media_type in kinds.INDEX_TYPES and depth:
            inner = reader.read(child).value
            if isinstance(inner, Index):
                found += _manifests(reader, inner, depth - 1)
    return found


def _chosen(reader: _Reader, index: Index, platform: Platform | None) -> Descriptor | None:
    here = platforms.host()
    fitting: list[Descriptor] = []
    unsaid: list[Descriptor] = []
    for child in _manifests(reader, index, _MAX_NESTING):
        if child.platform is None or not child.platform.os:
            unsaid.append(child)
        elif child.platform.matches(platform) if platform else here.runs(child.platform):
            fitting.append(child)
    if not fitting:
        return unsaid[0] if len(unsaid) == 1 else None
    # Of several arm variants that run here, the latest is the best.
    return max(fitting, key=lambda c: (c.platform and c.platform.normal.variant) or "")


def _check_platform(source: Source, manifest: Manifest, platform: Platform) -> None:
    if not kinds.is_image(manifest):
        return
    said = configs.parse(
        small(source, manifest.config), f"{source.what}: config {manifest.config.digest}"
    )
    if not said.platform.matches(platform):
        raise ImageNotFound(f"{source.what}: the image is for {said.platform}, not for {platform}")


def small(source: Source, blob: Descriptor) -> bytes:
    """Return a blob that is JSON, verified; raises CopyError."""
    if blob.size > MAX_JSON:
        raise CopyError(f"{source.what}: blob {blob.digest} is too large: {blob.size} bytes")
    with verified.opened(source, blob, lambda n: None) as stream:
        return stream.read(blob.size)


def _collect(
    reader: _Reader,
    read: _Read,
    documents: dict[Digest, Document],
    blobs: dict[Digest, Descriptor],
    depth: int,
) -> None:
    descriptor = read.document.descriptor
    if descriptor.id in documents:
        return
    if isinstance(read.value, Index):
        if not depth:
            raise CopyError(f"{reader.what}: {descriptor.digest} is nested too deeply")
        for child in read.value.manifests or []:
            if child.media_type not in kinds.MANIFEST_TYPES | kinds.INDEX_TYPES:
                raise CopyError(
                    f"{reader.what}: {child.digest} has the unknown media type "
                    f"{child.media_type[:100]!r}"
                )
            _collect(reader, reader.read(child), documents, blobs, depth - 1)
    else:
        for blob in (read.value.config, *(read.value.layers or [])):
            if blobs.setdefault(blob.id, blob).size != blob.size:
                raise CopyError(f"{reader.what}: blob {blob.digest} is given several sizes")
    documents[descriptor.id] = read.document
