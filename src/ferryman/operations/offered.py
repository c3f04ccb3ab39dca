"""What a name stands for at a registry: the manifest for a platform, and all that leads to it."""

from collections.abc import Iterator
from typing import NamedTuple

from ferryman.errors import (
    ImageNotFound,
    InvalidImage,
    RegistryError,
)
from ferryman.image import config as configs
from ferryman.image import manifest as kinds
from ferryman.image import platform as platforms
from ferryman.image.config import Config
from ferryman.image.decode import MAX_JSON
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index, Manifest
from ferryman.image.reference import Reference
from ferryman.operations.fetch import Pulling
from ferryman.registry import download
from ferryman.registry import manifests as remote
from ferryman.registry.failure import Denied, NotFound
from ferryman.registry.repository import Repository
from ferryman.store import blobs
from ferryman.store.lease import Lease

_MAX_NESTING = 4


class Found(NamedTuple):
    """What a name stands for at the registry."""

    target: Descriptor
    documents: dict[Digest, bytes]
    """The manifest, the indexes above it and the config."""
    manifest: Manifest
    config: Config
    referrers: tuple[Descriptor, ...] = ()
    """What belongs to it; their manifests are among the documents."""


def look_up(how: Pulling, lease: Lease, wanted: str, name: Reference) -> Found:
    """Return what a tag or digest of the repository stands for; `name` is that of errors.

    Raises NotFound, Denied, ImageNotFound (not for this platform), InvalidImage, RegistryError.
    """
    documents: dict[Digest, bytes] = {}
    try:
        target, content = document(how, lease, wanted, documents)
    except (NotFound, Denied) as e:
        raise in_words(e, name) from None
    parsed = kinds.parse(content, f"manifest {target.digest}")
    if isinstance(parsed, Index):
        chosen = _chosen(how, lease, parsed, documents)
        if chosen is None:
            raise ImageNotFound(
                f"no matching manifest for {how.platform or platforms.host()} in the manifest list "
                f"entries of {name.familiar}"
            )
        _, content = document(how, lease, chosen.digest, documents, chosen)
        parsed = kinds.parse(content, f"manifest {chosen.digest}")
    if isinstance(parsed, Index) or not kinds.is_image(parsed):
        kind = parsed.media_type if isinstance(parsed, Index) else parsed.config.media_type
        raise InvalidImage(f"{name.familiar} is no image that can be run: it is of type {kind}")
    config = _config(how, lease, parsed, documents)
    if how.platform and not config.platform.matches(how.platform):
        raise ImageNotFound(
            f"image with reference {name.familiar} was found but does not provide the specified "
            f"platform ({how.platform})"
        )
    return Found(target, documents, parsed, config)


def by_head(found: Repository, tag: str) -> Digest | None:
    """Return the digest for which a tag stands; to ask for it costs no share of a limit."""
    try:
        return remote.head(found, tag)
    except RegistryError:
        return None  # who asks for it whole is told why


def document(
    how: Pulling,
    lease: Lease,
    wanted: str,
    documents: dict[Digest, bytes],
    descriptor: Descriptor | None = None,
) -> tuple[Descriptor, bytes]:
    """Return a manifest or index with its descriptor, from the store if it is there."""
    if ":" in wanted:
        digest = Digest(wanted)
        lease.protect([digest])
        size = blobs.size(how.store, digest)
        if size is not None and size <= remote.MAX_MANIFEST:
            content = documents[digest] = blobs.read(how.store, digest, remote.MAX_MANIFEST)
            return _described(content, "", digest), content
    fetched = remote.get(how.repository, wanted)
    if descriptor and descriptor.size != len(fetched.content):
        raise InvalidImage(
            f"manifest {wanted} has {len(fetched.content)} bytes instead of {descriptor.size}"
        )
    documents[fetched.digest] = fetched.content
    return _described(fetched.content, fetched.media_type, fetched.digest), fetched.content


def _described(content: bytes, said: str, digest: Digest) -> Descriptor:
    parsed = kinds.parse(content, f"manifest {digest}")
    known = kinds.INDEX_TYPES if isinstance(parsed, Index) else kinds.MANIFEST_TYPES
    usual = kinds.OCI_INDEX if isinstance(parsed, Index) else kinds.OCI_MANIFEST
    media_type = parsed.media_type or (said if said in known else usual)
    if said in (kinds.INDEX_TYPES | kinds.MANIFEST_TYPES) - {media_type}:
        raise InvalidImage(f"manifest {digest} came as {said}, but it is {media_type}")
    return Descriptor(media_type, digest, len(content))


def _chosen(
    how: Pulling, lease: Lease, index: Index, documents: dict[Digest, bytes]
) -> Descriptor | None:
    """Return the manifest for the platform that is wanted, the best where several are."""
    here = platforms.host()
    fitting: list[Descriptor] = []
    unsaid: list[Descriptor] = []
    for child in _manifests(how, lease, index, documents, _MAX_NESTING):
        if child.platform is None or not child.platform.os:
            unsaid.append(child)
        elif (how.platform and child.platform.matches(how.platform)) or (
            not how.platform and here.runs(child.platform)
        ):
            fitting.append(child)
    if not fitting:
        return unsaid[0] if len(unsaid) == 1 else None
    # Of several arm variants that run here, the latest is the best.
    return max(fitting, key=lambda c: (c.platform and c.platform.normal.variant) or "")


def _manifests(
    how: Pulling, lease: Lease, index: Index, documents: dict[Digest, bytes], depth: int
) -> Iterator[Descriptor]:
    for child in index.manifests or []:
        if child.media_type in kinds.MANIFEST_TYPES:
            yield child
        elif child.media_type in kinds.INDEX_TYPES and depth:
            _, content = document(how, lease, child.digest, documents, child)
            inner = kinds.parse(content, f"index {child.digest}")
            if isinstance(inner, Index):
                yield from _manifests(how, lease, inner, documents, depth - 1)


def _config(
    how: Pulling, lease: Lease, manifest: Manifest, documents: dict[Digest, bytes]
) -> Config:
    digest = manifest.config.id
    lease.protect([digest])
    if blobs.size(how.store, digest) == manifest.config.size:
        content = blobs.read(how.store, digest, MAX_JSON)
    else:
        content = download.small(how.repository, digest, manifest.config.size, MAX_JSON)
    documents[digest] = content
    config = configs.parse(content, f"config {digest}")
    stored = manifest.layers or []
    if len(config.diff_ids) != len(stored):
        raise InvalidImage(
            f"invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, "
            f"got {len(stored)}"
        )
    for layer in stored:
        if kinds.compression_of(layer.media_type) is None:
            raise InvalidImage(
                f"layer {layer.digest} has the unknown type {layer.media_type[:100]}"
            )
    if len({(layer.digest, layer.size) for layer in stored}) > len({x.digest for x in stored}):
        raise InvalidImage("invalid manifest: it gives one layer several sizes")
    return config


def in_words(error: NotFound | Denied, name: Reference) -> RegistryError:
    """Say what docker says of an image that cannot be had."""
    if error.code == "DENIED":
        said = str(error).partition('": ')[2]
        return Denied(
            f"pull access denied for {name.familiar_name}, repository does not exist or may "
            f"require 'docker login': {said or error}"
        )
    if isinstance(error, Denied):
        return error
    if error.code == "NAME_UNKNOWN":
        return NotFound(f"repository {name.familiar_name} not found: {error}")
    return NotFound(f"manifest for {name.familiar} not found: {error}")
