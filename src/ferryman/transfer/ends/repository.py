"""``docker://NAME[:TAG|@DIGEST]``: images at registries (OCI distribution spec 1.1)."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Event

from ferryman.archive.stream import Stream
from ferryman.errors import RegistryError
from ferryman.image import manifest as kinds
from ferryman.image.manifest import Descriptor, Index
from ferryman.image.reference import Reference
from ferryman.registry import download, repository, upload
from ferryman.registry import hosts as settings
from ferryman.registry import manifests as remote
from ferryman.registry.failure import Unreachable
from ferryman.registry.repository import Repository
from ferryman.transfer.ends.contract import ANY, Content, Document, Image


class RepositorySource:
    """An image of a repository."""

    def __init__(self, found: Repository, name: Reference) -> None:
        """Read the image of a tag or digest; what is wrong with it is raised now."""
        self.what = f"docker://{name.familiar}"
        self.repository = name.name
        self._repository = found
        fetched = remote.get(found, str(name.digest or name.tagged().tag))
        parsed = kinds.parse(fetched.content, self.what)
        usual = kinds.OCI_INDEX if isinstance(parsed, Index) else kinds.OCI_MANIFEST
        kind = parsed.media_type or (fetched.media_type if fetched.media_type in ANY else usual)
        self._target = Document(
            Descriptor(kind, fetched.digest, len(fetched.content)), fetched.content
        )

    def target(self) -> Document:
        """Return the manifest or index."""
        return self._target

    def document(self, wanted: Descriptor) -> bytes:
        """Return a manifest or index; raises RegistryError."""
        return remote.get(self._repository, wanted.digest).content

    @contextmanager
    def blob(self, wanted: Descriptor) -> Iterator[Stream]:
        """Give the content of a blob; where the connection breaks, it goes on from there."""
        with download.opened(self._repository, wanted.id, wanted.size) as stream:
            yield stream


@contextmanager
def source(name: Reference, stop: Event) -> Iterator[RepositorySource]:
    """Open an image at a registry, or at the first of its mirrors that has it.

    Raises RegistryError, InvalidImage, and what is wrong with the user's files.
    """
    hosts = settings.load()
    error: RegistryError | None = None
    for endpoint in hosts.endpoints(name.domain, pull=True):
        with repository.session(endpoint, name.domain, hosts, stop) as session:
            try:
                session.ping()
                found = RepositorySource(Repository(session, name.path), name)
            except RegistryError as e:
                if not endpoint.mirror and not isinstance(e, Unreachable):
                    raise
                error = e
                continue
            yield found
            return
    assert error is not None
    raise error


class RepositoryDestination:
    """A tag, or nothing but a digest, of a repository."""

    manifests = ANY
    keeps = True

    def __init__(
        self,
        found: Repository,
        name: Reference,
        at_once: int,
        origins: Mapping[str, list[str]],
    ) -> None:
        """Write to a repository; `origins` are others of the registry, by what they may have."""
        self.what = f"docker://{name.familiar}"
        self.at_once = at_once
        self._repository = found
        self._name = name
        self._origins = origins

    def has(self, blob: Descriptor) -> bool:
        """Tell whether a blob is there, or was taken over from another repository."""
        if upload.size(self._repository, blob.id) is not None:
            return True
        others = (path for path in self._origins.get(blob.digest, ()) if path != self._name.path)
        return any(upload.mount(self._repository, blob.id, path) for path in others)

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob; where the connection breaks, it is read and sent from there."""
        with ExitStack() as attempt:

            def at(start: int) -> Stream:
                attempt.close()
                stream = attempt.enter_context(content())
                stream.skip(start)
                return stream

            upload.send(self._repository, blob.id, blob.size, at)

    def finish(self, image: Image) -> None:
        """Take the manifests, the target last, by its tag."""
        for descriptor, content in image.documents.values():
            if descriptor.digest != image.target.digest:
                remote.put(self._repository, descriptor.digest, content, descriptor.media_type)
        where = str(self._name.digest or self._name.tagged().tag)
        target = image.documents[image.target.id]
        remote.put(self._repository, where, target.content, image.target.media_type)


@contextmanager
def destination(
    name: Reference, stop: Event, origins: Mapping[str, list[str]]
) -> Iterator[RepositoryDestination]:
    """Open a place at a registry; raises RegistryError, and what is wrong with the user's files."""
    hosts = settings.load()
    with repository.opened(name, push=True, hosts=hosts, stop=stop) as found:
        yield RepositoryDestination(found, name, hosts.uploads, origins)
