"""``docker-daemon:NAME:TAG``: a docker daemon, by the Engine API on its socket.

What it gives is written aside first, since it comes in any order.  What it takes goes to it as it
is written, without the layers that it has.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ferryman.archive.stream import Pieces
from ferryman.errors import ImageNotFound
from ferryman.image import config as configs
from ferryman.image import manifest as kinds
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.transfer.ends import archives
from ferryman.transfer.ends.archives import ArchiveDestination, ArchiveSource
from ferryman.transfer.ends.contract import Content, CopyError, Image, Source
from ferryman.transfer.ends.engine import Daemon, connected, path_of
from ferryman.transfer.ends.gather import small
from ferryman.transfer.ends.loading import Loading
from ferryman.transfer.inventory import lacking

_PIECE = 1 << 18


@contextmanager
def source(name: str) -> Iterator[ArchiveSource]:
    """Open an image of the daemon, by its name or ID; raises ImageNotFound, CopyError, …."""
    import httpx

    what = f"docker-daemon:{name}"
    with connected(what) as daemon:
        try:
            with daemon.client.stream("GET", f"{path_of(name)}/get") as answer:
                if answer.status_code == 404:
                    raise ImageNotFound(f"{what}: No such image: {name}")
                if answer.status_code != 200:
                    raise daemon.failed(answer)
                with archives.spooled(Pieces(answer.iter_raw(_PIECE)), what) as spooled:
                    yield ArchiveSource(spooled, "")
        except httpx.HTTPError as e:
            raise daemon.broken(e) from None


class DaemonDestination:
    """A name of a docker daemon."""

    manifests = kinds.MANIFEST_TYPES
    keeps = False
    at_once = 1

    def __init__(self, daemon: Daemon, loading: Loading, name: str, there: set[Digest]) -> None:
        """Send an archive under a name; `there` are the layers that it need not have."""
        self.what = daemon.what
        self._daemon = daemon
        self._loading = loading
        self._archive = ArchiveDestination(loading.fd, daemon.what, "docker", name)
        self._name = name
        self._there = there

    def has(self, blob: Descriptor) -> bool:
        """Tell whether the daemon has a layer."""
        return blob.id in self._there

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob; raises CopyError."""
        try:
            self._archive.put(blob, content)
        except BrokenPipeError:
            raise self._loading.broken() from None

    def finish(self, image: Image) -> None:
        """Have the image loaded, and look that it is there; raises CopyError."""
        try:
            self._archive.finish(image)
        except BrokenPipeError:
            raise self._loading.broken() from None
        self._loading.finish()
        # A daemon that keeps its images in containerd calls them by their manifests.
        known = {_manifest(image).config.digest, *image.documents}
        found = self._daemon.image(self._name)
        if found is None:
            raise CopyError(f"{self.what} is not there after it was sent")
        if found.id not in known:
            raise CopyError(f"{self.what} is {found.id} after it was sent, and not what was sent")


def _manifest(image: Image) -> Manifest:
    content = image.documents[image.manifest.id].content
    manifest = kinds.parse(content, f"manifest {image.manifest.digest}")
    if not isinstance(manifest, Manifest) or not kinds.is_image(manifest):
        raise CopyError(f"{image.manifest.digest} is no image that a docker daemon could run")
    return manifest


@contextmanager
def destination(name: str, origin: Source, image: Image) -> Iterator[DaemonDestination]:
    """Open a place in the daemon for an image; raises CopyError, InvalidImage."""
    with connected(f"docker-daemon:{name}") as daemon:
        manifest = _manifest(image)
        config = configs.parse(small(origin, manifest.config), f"config {manifest.config.digest}")
        layers = [layer.id for layer in manifest.layers or ()]
        if len(layers) != len(config.diff_ids):
            raise CopyError(
                f"{origin.what}: invalid manifest, layers length mismatch: expected "
                f"{len(config.diff_ids)}, got {len(layers)}"
            )
        missing = lacking(layers, config.diff_ids, [daemon.inventory()])
        loading = Loading(daemon)
        try:
            yield DaemonDestination(daemon, loading, name, set(layers) - missing)
        finally:
            loading.close()
