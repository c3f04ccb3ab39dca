"""What a source of images gives, and what a destination takes.

A source gives manifests byte for byte, and blobs as streams; nothing that it says is believed:
`gather` and `verified` hold everything against its digest.  A destination takes blobs in any order,
each once, and the manifests last; what it was given before that is nobody's image yet.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from ferryman.archive.stream import Stream
from ferryman.errors import FerryError
from ferryman.image import manifest as kinds
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor

Content = Callable[[], AbstractContextManager[Stream]]
"""Opens a blob from its beginning, as often as it is wanted.  The stream that it gives raises
before its last bytes come when they are not the ones of the descriptor."""

OCI = frozenset((kinds.OCI_MANIFEST, kinds.OCI_INDEX))
ANY = kinds.MANIFEST_TYPES | kinds.INDEX_TYPES


class CopyError(FerryError):
    """An end that cannot be read or written, or that does not take what it is given."""


class Document(NamedTuple):
    """A manifest or an index, and its bytes."""

    descriptor: Descriptor
    content: bytes


class Image(NamedTuple):
    """All that a target leads to."""

    target: Descriptor
    documents: Mapping[Digest, Document]
    """Manifests and indexes, each behind those that it names; the target is the last one."""
    blobs: Mapping[Digest, Descriptor]
    """Configs and layers."""
    manifest: Descriptor
    """The target, or of an index the manifest that is for this machine, or for the platform that
    was asked for; where none is, the first one."""


class Source(Protocol):
    """Where an image comes from, opened."""

    what: str
    """What it is called in errors."""
    repository: str
    """The whole name of the repository that it is, or nothing."""

    def target(self) -> Document:
        """Return the manifest or index that is meant; raises FerryError when there is none."""

    def document(self, wanted: Descriptor) -> bytes:
        """Return a manifest or index, not more than `wanted.size` bytes and one; not verified."""

    def blob(self, wanted: Descriptor) -> AbstractContextManager[Stream]:
        """Give the content of a blob; not verified.  Several threads may call it at once."""


class Destination(Protocol):
    """Where an image goes to, opened."""

    what: str
    """What it is called in errors."""
    manifests: frozenset[str]
    """The media types of manifests and indexes that it takes."""
    keeps: bool
    """Whether it keeps the bytes of manifests."""
    at_once: int
    """How many blobs it takes at a time."""

    def has(self, blob: Descriptor) -> bool:
        """Tell whether it has a blob, or has taken it over from elsewhere by itself."""

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob."""

    def finish(self, image: Image) -> None:
        """Take the manifests, of which all blobs are there, and give the target its name."""
