"""Manifests and indexes at a registry: their bytes, as they are, and nothing larger than 4 MiB."""

from typing import NamedTuple

from ferryman.archive.stream import BytesStream
from ferryman.errors import InvalidImage, RegistryError
from ferryman.image import digest as digests
from ferryman.image import manifest as kinds
from ferryman.image.digest import Digest
from ferryman.registry.failure import NotFound
from ferryman.registry.repository import Repository, read
from ferryman.registry.wire import Answer, Body

MAX_MANIFEST = 4 << 20
"""What the specification has registries take at least, and clients at most."""

ACCEPT = ", ".join(
    (kinds.OCI_INDEX, kinds.DOCKER_LIST, kinds.OCI_MANIFEST, kinds.DOCKER_MANIFEST, "*/*;q=0.1")
)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"


class Fetched(NamedTuple):
    """A manifest or an index."""

    content: bytes
    media_type: str
    digest: Digest


class Put(NamedTuple):
    """A manifest that a registry has taken."""

    digest: Digest
    subject: bool
    """Whether it lists the manifest as a referrer of its subject by itself."""


def head(repository: Repository, reference: str) -> Digest | None:
    """Return the digest for which a tag stands, None where the registry does not say it.

    Raises NotFound, Denied, RegistryError.
    """
    answer = repository.session.request(
        "HEAD",
        repository.url(f"manifests/{reference}"),
        ok=(200,),
        scopes=repository.scopes,
        headers={"Accept": ACCEPT},
    )
    answer.release()
    return _said_digest(answer)


def exists(repository: Repository, digest: Digest) -> bool:
    """Tell whether a repository has a manifest; raises Denied, RegistryError."""
    try:
        head(repository, digest)
    except NotFound:
        return False
    return True


def get(repository: Repository, reference: str) -> Fetched:
    """Return a manifest or an index, by its tag or digest, its content held against the digest.

    Raises NotFound, Denied, RegistryError, InvalidImage.
    """
    url = repository.url(f"manifests/{reference}")
    answer = repository.session.request(
        "GET", url, ok=(200,), scopes=repository.scopes, headers={"Accept": ACCEPT}
    )
    content = read(answer, MAX_MANIFEST)
    media_type = answer.header("Content-Type").partition(";")[0].strip()
    if media_type.startswith(_SCHEMA_1):
        raise InvalidImage(
            f"{url.shown}: a manifest of schema version 1, which is not supported any more"
        )
    wanted = digests.parse(reference) if ":" in reference else _said_digest(answer)
    found = content_digest(content, wanted.algorithm if wanted else "sha256")
    if wanted and wanted != found:
        raise RegistryError(
            f"{url.shown}: manifest verification failed for digest {wanted}: its content is {found}"
        )
    return Fetched(content, media_type, found)


def put(repository: Repository, reference: str, content: bytes, media_type: str) -> Put:
    """Send a manifest or an index; all that it names is there already.

    Raises Denied, RegistryError.
    """
    url = repository.url(f"manifests/{reference}")
    answer = repository.session.request(
        "PUT",
        url,
        ok=(200, 201, 202),
        scopes=repository.scopes,
        headers={"Content-Type": media_type},
        body=lambda: Body(BytesStream(content), len(content)),
    )
    answer.release()
    said = _said_digest(answer)
    digest = content_digest(content, said.algorithm if said else "sha256")
    if said and said != digest:
        raise RegistryError(f"{url.shown}: sent {digest}, but the registry has it as {said}")
    return Put(digest, bool(answer.header("OCI-Subject")))


def content_digest(content: bytes, algorithm: str = "sha256") -> Digest:
    """Return the digest of a manifest by one of the registered algorithms."""
    running = digests.hasher(algorithm)
    running.update(content)
    return digests.finished(running, algorithm)


def _said_digest(answer: Answer) -> Digest | None:
    text = answer.header("Docker-Content-Digest")
    if not text:
        return None
    try:
        return digests.parse(text)
    except InvalidImage as e:
        raise RegistryError(f"{answer.url.shown}: {e}") from None
