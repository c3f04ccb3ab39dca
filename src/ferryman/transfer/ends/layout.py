"""An OCI image layout, wherever it lies (OCI image spec 1.1, image-layout.md).

`oci:` has one in a folder, `s3:` one in a bucket; to both it is a shelf of files by names.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol

import msgspec

from ferryman.archive.oci import INDEX, LAYOUT, part_name
from ferryman.archive.stream import BytesStream, Stream
from ferryman.errors import ImageNotFound, InvalidImage
from ferryman.image import manifest as kinds
from ferryman.image.decode import MAX_JSON, decode, encode
from ferryman.image.manifest import IMAGE_NAME, OCI_INDEX, REF_NAME, Descriptor, Index
from ferryman.transfer.ends.contract import OCI, Content, CopyError, Document, Image

LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
_VERSION = "1.0.0"


class Readable(Protocol):
    """A place of files by names."""

    what: str

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a file of at most `limit` bytes, None when it is not there; raises CopyError."""

    def opened(self, name: str) -> AbstractContextManager[Stream]:
        """Give the content of a file; raises CopyError."""


class Shelf(Readable, Protocol):
    """A place of files by names, each of which appears whole or not at all."""

    def size(self, name: str) -> int | None:
        """Return the size in bytes of a file, None when it is not there; raises CopyError."""

    def write(self, name: str, size: int, content: Content) -> None:
        """Write a file; raises CopyError, and what `content` raises."""

    def change(self, name: str, limit: int, change: Callable[[bytes | None], bytes]) -> None:
        """Replace a small file by what `change` makes of it, while nobody else does."""


class LayoutSource:
    """An image of a layout."""

    repository = ""

    def __init__(self, shelf: Readable, reference: str) -> None:
        """Read the image of a reference, or the only one when it is empty."""
        self.what = shelf.what
        self._shelf = shelf
        self._reference = reference

    def target(self) -> Document:
        """Return the manifest or index that is meant; raises ImageNotFound, CopyError."""
        found = _meant(_index(self._shelf), self._reference, self.what)
        # Names belong to this place, not to the image.
        bare = Descriptor(found.media_type, found.digest, found.size)
        return Document(bare, self.document(bare))

    def document(self, wanted: Descriptor) -> bytes:
        """Return a manifest or index; raises CopyError."""
        content = self._shelf.read(part_name(wanted.id), min(wanted.size, MAX_JSON))
        if content is None:
            raise CopyError(f"{self.what}: manifest {wanted.digest} is missing")
        return content

    def blob(self, wanted: Descriptor) -> AbstractContextManager[Stream]:
        """Give the content of a blob."""
        return self._shelf.opened(part_name(wanted.id))


def _index(shelf: Readable) -> Index:
    content = shelf.read(INDEX, MAX_JSON)
    if content is None:
        raise CopyError(f"{shelf.what} is no image layout: it has no {INDEX}")
    parsed = kinds.parse(content, f"{shelf.what}: {INDEX}")
    if not isinstance(parsed, Index):
        raise CopyError(f"{shelf.what}: {INDEX} is not an index")
    return parsed


def _meant(index: Index, reference: str, what: str) -> Descriptor:
    listed = index.manifests or []
    if not reference:
        if len({each.digest for each in listed}) != 1:
            raise CopyError(
                f"{what} holds {len(listed)} images: say which one, by its name behind a colon"
            )
        return listed[0]
    if reference.startswith("@"):
        number = reference[1:]
        if not number.isdecimal() or int(number[:9]) >= len(listed):
            raise ImageNotFound(f"{what}: there is no image {reference} in it")
        return listed[int(number)]
    for key in (REF_NAME, IMAGE_NAME):
        for each in listed:
            if (each.annotations or {}).get(key) == reference:
                return each
    raise ImageNotFound(f"{what}: no image {reference} in it")


class LayoutDestination:
    """A place for an image in a layout, which is made if there is none."""

    manifests = OCI
    keeps = True

    def __init__(self, shelf: Shelf, reference: str, at_once: int) -> None:
        """Write an image under a reference, or under none when it is empty."""
        self.what = shelf.what
        self.at_once = at_once
        self._shelf = shelf
        self._reference = reference

    def has(self, blob: Descriptor) -> bool:
        """Tell whether a blob of the size is there."""
        return self._shelf.size(part_name(blob.id)) == blob.size

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob."""
        self._shelf.write(part_name(blob.id), blob.size, content)

    def finish(self, image: Image) -> None:
        """Take the manifests, then the name."""
        for descriptor, content in image.documents.values():
            self._shelf.write(part_name(descriptor.id), descriptor.size, partial(_whole, content))
        self._shelf.change(LAYOUT, MAX_JSON, lambda before: _same_layout(before, self.what))
        self._shelf.change(
            INDEX,
            MAX_JSON,
            lambda before: with_image(before, image.target, self._reference, self.what),
        )


@contextmanager
def _whole(content: bytes) -> Iterator[Stream]:
    yield BytesStream(content)


class _Layout(msgspec.Struct, frozen=True, rename="camel"):
    image_layout_version: str = ""


def _same_layout(before: bytes | None, what: str) -> bytes:
    if before is None:
        return LAYOUT_FILE
    version = decode(before, _Layout, f"{what}: {LAYOUT}").image_layout_version
    if version != _VERSION:
        raise CopyError(
            f"{what}: unknown layout version {version[:40]!r}, only {_VERSION} is known"
        )
    return before


def with_image(before: bytes | None, target: Descriptor, reference: str, what: str) -> bytes:
    """Return an ``index.json`` with an image in it; what had its name goes without one.

    Whatever else stands in it stays.  Raises CopyError, InvalidImage.
    """
    if before is None:
        index = Index(schema_version=2, media_type=OCI_INDEX, manifests=[])
        before = encode(index)
    elif not isinstance(kinds.parse(before, f"{what}: {INDEX}"), Index):
        raise InvalidImage(f"{what}: {INDEX} is not an index")
    said = decode(before, dict[str, Any], f"{what}: {INDEX}")
    kept: list[dict[str, Any]] = []
    for each in said["manifests"] or []:
        annotations = each.get("annotations") or {}
        same = each["digest"] == target.digest
        if annotations.get(REF_NAME) is None and same:
            continue
        if reference and annotations.get(REF_NAME) == reference:
            continue
        kept.append(each)
    new: dict[str, Any] = {
        "mediaType": target.media_type,
        "digest": target.digest,
        "size": target.size,
    }
    if target.artifact_type:
        new["artifactType"] = target.artifact_type
    if reference:
        new["annotations"] = {REF_NAME: reference}
    said["manifests"] = [*kept, new]
    return encode(said)
