"""Images as other ends want them: manifests of OCI's types, layers compressed.

Only what has to be another is; what names it is written anew, and everything else in it stays.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from ferryman.archive import compression
from ferryman.archive.stream import CHUNK, FileStream, Stream
from ferryman.image import digest as digests
from ferryman.image import manifest as kinds
from ferryman.image.decode import decode, encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index
from ferryman.store.durable import write_all
from ferryman.transfer import scratch
from ferryman.transfer.ends.contract import Content, Document, Image

_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"
_OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"

_AS_OCI = {
    kinds.DOCKER_LIST: kinds.OCI_INDEX,
    kinds.DOCKER_MANIFEST: kinds.OCI_MANIFEST,
    kinds.DOCKER_CONFIG: kinds.OCI_CONFIG,
    _DOCKER_LAYER: kinds.OCI_LAYER,
    f"{_DOCKER_LAYER}.gzip": kinds.OCI_LAYER_GZIP,
    f"{_DOCKER_LAYER}.zstd": kinds.OCI_LAYER_ZSTD,
    _FOREIGN: _OCI_FOREIGN,
    f"{_FOREIGN}.gzip": f"{_OCI_FOREIGN}+gzip",
}


def converted(image: Image, changed: Mapping[str, Descriptor], known: frozenset[str]) -> Image:
    """Return an image whose blobs have changed, by their digests, or that must have other types.

    `known` are the media types of manifests that may stay.  Raises InvalidImage.
    """
    news: dict[str, Descriptor] = dict(changed)
    documents: dict[Digest, Document] = {}
    for document in image.documents.values():
        new = _converted(document, news, to_oci=document.descriptor.media_type not in known)
        documents[new.descriptor.id] = new
        if new.descriptor != document.descriptor:
            news[document.descriptor.digest] = new.descriptor
    moved = (changed.get(digest, blob) for digest, blob in image.blobs.items())
    return Image(
        news.get(image.target.digest, image.target),
        documents,
        {blob.id: blob for blob in moved},
        news.get(image.manifest.digest, image.manifest),
    )


def _converted(document: Document, news: Mapping[str, Descriptor], *, to_oci: bool) -> Document:
    descriptor, content = document
    said = decode(content, dict[str, Any], f"manifest {descriptor.digest}")
    before = encode(said)
    kind = _AS_OCI.get(descriptor.media_type, descriptor.media_type)
    if to_oci:
        said["mediaType"] = kind
    for each in (said.get("config"), *(said.get("layers") or ()), *(said.get("manifests") or ())):
        if each is None:
            continue
        if new := news.get(each["digest"]):
            each |= {"mediaType": new.media_type, "digest": new.digest, "size": new.size}
        if to_oci:
            each["mediaType"] = _AS_OCI.get(each["mediaType"], each["mediaType"])
    after = encode(said)
    if after == before:
        return document
    new = msgspec.structs.replace(
        descriptor,
        media_type=kind if to_oci else descriptor.media_type,
        digest=digests.of(after),
        size=len(after),
    )
    return Document(new, after)


def compressible(image: Image) -> frozenset[Digest]:
    """Return the layers of images that are not compressed."""
    found: set[Digest] = set()
    for document in image.documents.values():
        value = kinds.parse(document.content, f"manifest {document.descriptor.digest}")
        if not isinstance(value, Index) and kinds.is_image(value):
            plain = (x for x in value.layers or [] if kinds.compression_of(x.media_type) == "none")
            found |= {layer.id for layer in plain}
    return frozenset(found)


@contextmanager
def compressed(
    layer: Descriptor, content: Content, algorithm: str, level: int | None
) -> Iterator[tuple[Descriptor, Content]]:
    """Compress a plain layer into a file without a name, which is gone after the block.

    Raises what `content` raises, and OSError.
    """
    separator = "+" if layer.media_type.startswith("application/vnd.oci.") else "."
    with unnamed() as fd:
        running, size = digests.hasher(), 0
        with content() as plain:
            stream = compression.compressed(plain, algorithm, level)
            while piece := stream.read(CHUNK):
                running.update(piece)
                write_all(fd, piece)
                size += len(piece)
        made = Descriptor(
            f"{layer.media_type}{separator}{algorithm}", digests.finished(running), size
        )

        @contextmanager
        def opened() -> Iterator[Stream]:
            yield FileStream(fd, 0, size, f"blob {made.digest}")

        yield made, opened


@contextmanager
def unnamed() -> Iterator[int]:
    """Give a file that has no name, and is gone after the block."""
    with tempfile.TemporaryFile(dir=scratch.folder()) as f:
        yield f.fileno()
