"""Descriptors, manifests and indexes (OCI image spec 1.1; Docker image manifest v2, schema 2).

What came in is never written anew: these values are views of bytes that are kept beside them.
"""

import msgspec

from ferryman.errors import InvalidImage
from ferryman.image import digest
from ferryman.image.decode import decode
from ferryman.image.digest import Digest
from ferryman.image.platform import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

INDEX_TYPES = frozenset((OCI_INDEX, DOCKER_LIST))
MANIFEST_TYPES = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
CONFIG_TYPES = frozenset((OCI_CONFIG, DOCKER_CONFIG))

# Names in the annotations of an index: the tag (or any name) by the OCI specification, and the
# whole name by containerd's convention, which docker follows too.
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"

# Where an image was pulled from: a repository's whole name.  What has it came with its bytes, which
# are sent on as they are.
PULLED_FROM = "io.ferryman.pulled-from"

# What became of an image when its plain layers were compressed to be pushed under a name: the
# digest of its manifest at the registry.
PUSHED_AS = "io.ferryman.pushed-as"

# What a signature or an SBOM came with: the digest of the manifest or index that was pulled.
CAME_WITH = "io.ferryman.came-with"

# The tag by which cosign finds a signature that says nothing of its subject.
TAGGED = "io.ferryman.tagged"

_MAX_SIZE = 1 << 62


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A pointer to a blob: its type, digest and size in bytes (descriptor.md)."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    artifact_type: str | None = None

    @property
    def id(self) -> Digest:
        """The digest, checked by its grammar; raises InvalidImage."""
        return digest.parse(self.digest)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One image for one platform: a config and its layers, lowest first (manifest.md)."""

    schema_version: int = 0
    media_type: str = ""
    config: Descriptor
    layers: list[Descriptor] | None = None
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A list of manifests, or of further indexes (image-index.md)."""

    schema_version: int = 0
    media_type: str = ""
    manifests: list[Descriptor] | None
    annotations: dict[str, str] | None = None


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """The fields by which a manifest and an index are told apart."""

    schema_version: int = 0
    media_type: str = ""
    manifests: msgspec.Raw = msgspec.Raw()
    layers: msgspec.Raw = msgspec.Raw()
    config: msgspec.Raw = msgspec.Raw()


def parse(content: bytes, what: str) -> Manifest | Index:
    """Return the bytes of a manifest or index as a value, told apart by their content.

    Raises InvalidImage, with `what` as its subject, when they are neither, are schema version 1,
    or when a descriptor in them has no valid digest or size.
    """
    envelope = decode(content, _Envelope, what)
    if envelope.schema_version != 2:
        raise InvalidImage(f"{what} has schema version {envelope.schema_version}; only 2 is known")
    # A document that can be read both ways is an attack (CVE-2021-41190), not an image.
    has_manifests, has_config = _given(envelope.manifests), _given(envelope.config)
    if has_manifests and (has_config or _given(envelope.layers)):
        raise InvalidImage(f"{what} is ambiguous: it has both manifests and layers")
    parsed: Manifest | Index
    if has_manifests:
        index = parsed = decode(content, Index, what)
        known, descriptors = INDEX_TYPES, index.manifests or []
    elif has_config:
        manifest = parsed = decode(content, Manifest, what)
        known, descriptors = MANIFEST_TYPES, [manifest.config, *(manifest.layers or [])]
    else:
        raise InvalidImage(f"{what} is neither a manifest nor an index")
    if parsed.media_type and parsed.media_type not in known:
        raise InvalidImage(f"{what} has the unknown media type {parsed.media_type[:100]!r}")
    for descriptor in descriptors:
        check(descriptor, what)
    return parsed


def _given(field: msgspec.Raw) -> bool:
    return bytes(field) not in (b"", b"null")


def check(descriptor: Descriptor, what: str) -> None:
    """Raise InvalidImage when a descriptor's digest or size cannot be true."""
    try:
        digest.parse(descriptor.digest)
    except InvalidImage as e:
        raise InvalidImage(f"{what}: {e}") from None
    if not 0 <= descriptor.size < _MAX_SIZE:
        raise InvalidImage(f"{what}: impossible size {descriptor.size} of {descriptor.digest}")


def is_image(manifest: Manifest) -> bool:
    """Tell whether a manifest is an image's, not that of an artifact or an attestation."""
    return manifest.config.media_type in CONFIG_TYPES


def compression_of(media_type: str) -> str | None:
    """Return how a layer of this media type is compressed: "none", "gzip" or "zstd".

    None stands for a type that is not a layer's.  A foreign layer is named by the same endings.
    """
    if media_type.endswith((".tar.gzip", ".tar+gzip")):
        return "gzip"
    if media_type.endswith(("+zstd", ".tar.zstd")):
        return "zstd"
    if media_type.endswith(".tar"):
        return "none"
    return None
