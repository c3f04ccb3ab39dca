"""``dir:PATH``: one image in a folder, in the form that skopeo and podman share.

::

    version              Directory Transport Version: 1.1
    manifest.json        the manifest or index
    <hex>.manifest.json  what an index names
    <hex>                a blob, by the encoded part of its digest
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ferryman import parallel
from ferryman.archive.stream import Stream
from ferryman.image import digest as digests
from ferryman.image import manifest as kinds
from ferryman.image.decode import MAX_JSON
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index
from ferryman.transfer.ends import files
from ferryman.transfer.ends.contract import ANY, Content, CopyError, Document, Image

_VERSION_FILE = b"Directory Transport Version: 1.1\n"
_PREFIX = b"Directory Transport Version: "
_MANIFEST = "manifest.json"


def _name(digest: Digest) -> str:
    # As skopeo has it: sha256 is not said.
    return (
        digest.encoded if digest.algorithm == "sha256" else f"{digest.algorithm}-{digest.encoded}"
    )


class DirectorySource:
    """The image of a folder."""

    repository = ""

    def __init__(self, path: str) -> None:
        """Read the folder `path`."""
        self.what = f"dir:{path}"
        self._path = path

    def target(self) -> Document:
        """Return the manifest or index; raises CopyError."""
        version = files.read(f"{self._path}/version", 4096)
        if version is not None and not version.startswith(_PREFIX + b"1."):
            raise CopyError(f"{self.what}: unknown version {version[:60]!a}")
        content = files.read(f"{self._path}/{_MANIFEST}", MAX_JSON)
        if content is None:
            raise CopyError(f"{self.what} holds no image: it has no {_MANIFEST}")
        parsed = kinds.parse(content, f"{self.what}: {_MANIFEST}")
        usual = kinds.OCI_INDEX if isinstance(parsed, Index) else kinds.OCI_MANIFEST
        kind = parsed.media_type or usual
        return Document(Descriptor(kind, digests.of(content), len(content)), content)

    def document(self, wanted: Descriptor) -> bytes:
        """Return a manifest or index that an index names; raises CopyError."""
        path = f"{self._path}/{_name(wanted.id)}.{_MANIFEST}"
        content = files.read(path, min(wanted.size, MAX_JSON))
        if content is None:
            raise CopyError(f"{self.what}: manifest {wanted.digest} is missing")
        return content

    @contextmanager
    def blob(self, wanted: Descriptor) -> Iterator[Stream]:
        """Give the content of a blob."""
        with files.opened(f"{self._path}/{_name(wanted.id)}") as (stream, _):
            yield stream


class DirectoryDestination:
    """A folder for one image; what was in it before goes."""

    manifests = ANY
    keeps = True

    def __init__(self, path: str) -> None:
        """Write to the folder `path`, which is made if it is not there."""
        self.what = f"dir:{path}"
        self.at_once = parallel.cores()
        self._path = path
        self._before = _before(path)
        files.write(f"{path}/version", _VERSION_FILE)

    def has(self, blob: Descriptor) -> bool:
        """Tell that nothing is there: what skopeo left may be anything."""
        return False

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob."""
        with content() as stream:
            files.write_stream(f"{self._path}/{_name(blob.id)}", stream)

    def finish(self, image: Image) -> None:
        """Take the manifests."""
        for descriptor, content in image.documents.values():
            if descriptor.digest != image.target.digest:
                files.write(f"{self._path}/{_name(descriptor.id)}.{_MANIFEST}", content)
        files.write(f"{self._path}/{_MANIFEST}", image.documents[image.target.id].content)
        kept = {_MANIFEST, "version", *map(_name, image.blobs)}
        kept |= {f"{_name(digest)}.{_MANIFEST}" for digest in image.documents}
        for name in self._before - kept:
            os.unlink(f"{self._path}/{name}")


def _before(path: str) -> set[str]:
    """Return what an earlier copy left in a folder; refuse a folder of anything else."""
    try:
        os.makedirs(path, exist_ok=True)
        names = set(os.listdir(path))
    except OSError as e:
        raise CopyError(f"dir:{path}: cannot write to {path}: {e.strerror}") from None
    version = files.read(f"{path}/version", 4096)
    if names and (version is None or not version.startswith(_PREFIX)):
        raise CopyError(
            f"dir:{path}: {path} is not empty, and no image is in it: refusing to write"
        )
    return {name for name in names if os.path.isfile(f"{path}/{name}")}
