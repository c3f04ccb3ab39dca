"""What a registry has that belongs to a manifest: signatures, SBOMs (spec: "Referrers").

Registries that know nothing of referrers keep their list as an index under a tag that is made of
the subject's digest ("Referrers Tag Schema").
"""

from ferryman.errors import InvalidImage, RegistryError
from ferryman.image import manifest as kinds
from ferryman.image.decode import encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index
from ferryman.image.referrer import tag
from ferryman.registry import manifests
from ferryman.registry.failure import NotFound
from ferryman.registry.repository import Repository, next_page, read
from ferryman.registry.url import Url

_MOST = 1000
"""Referrers of one manifest; more are nobody's signatures."""


def listed(repository: Repository, digest: Digest) -> list[Descriptor]:
    """Return what a repository has that belongs to a manifest; raises Denied, RegistryError, …."""
    url: Url | None = repository.url(f"referrers/{digest}")
    found: dict[str, Descriptor] = {}
    try:
        while url and len(found) < _MOST:
            answer = repository.session.request("GET", url, ok=(200,), scopes=repository.scopes)
            link = answer.header("Link")
            for each in _index(read(answer, manifests.MAX_MANIFEST), url.shown):
                found.setdefault(each.digest, each)
            url = next_page(link, url)
    except NotFound:
        return _tagged(repository, digest)
    return list(found.values())


def announce(repository: Repository, digest: Digest, referrer: Descriptor) -> None:
    """Put a referrer on the list of its subject, at a registry that does not do so by itself."""
    before = _tagged(repository, digest)
    if any(each.digest == referrer.digest for each in before):
        return
    index = Index(schema_version=2, media_type=kinds.OCI_INDEX, manifests=[*before, referrer])
    manifests.put(repository, tag(digest), encode(index), kinds.OCI_INDEX)


def _tagged(repository: Repository, digest: Digest) -> list[Descriptor]:
    try:
        fetched = manifests.get(repository, tag(digest))
    except NotFound:
        return []
    return _index(fetched.content, f"the referrers of {digest}")


def _index(content: bytes, what: str) -> list[Descriptor]:
    try:
        parsed = kinds.parse(content, what)
    except InvalidImage as e:
        raise RegistryError(str(e)) from None
    if not isinstance(parsed, Index):
        raise RegistryError(f"{what}: no list of referrers")
    return (parsed.manifests or [])[:_MOST]
