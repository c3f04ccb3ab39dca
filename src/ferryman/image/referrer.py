"""What belongs to a manifest without being part of it: signatures, SBOMs (image spec: "subject").

cosign up to version 2 knows no subject: what it makes has a tag of the digest that it belongs to.
"""

import re

import msgspec

from ferryman.errors import InvalidImage
from ferryman.image import digest as digests
from ferryman.image import manifest as kinds
from ferryman.image.decode import decode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor

_ENDINGS = ("sig", "att", "sbom")
_COSIGN = re.compile(rf"([a-z0-9]{{1,32}})-([0-9a-f]{{64,128}})\.(?:{'|'.join(_ENDINGS)})")


class _Referrer(msgspec.Struct, frozen=True, rename="camel"):
    subject: Descriptor | None = None
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None
    config: Descriptor | None = None


def subject(content: bytes, what: str) -> Digest | None:
    """Return the digest of what a manifest or an index belongs to; raises InvalidImage."""
    found = decode(content, _Referrer, what).subject
    if found is None:
        return None
    kinds.check(found, what)
    return found.id


def described(content: bytes, descriptor: Descriptor) -> Descriptor:
    """Return the descriptor of a referrer as it stands on the list of its subject."""
    found = decode(content, _Referrer, f"manifest {descriptor.digest}")
    kind = found.artifact_type or (found.config.media_type if found.config else None)
    return Descriptor(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        annotations=found.annotations,
        artifact_type=kind,
    )


def tag(digest: Digest) -> str:
    """Return the tag of the list of what belongs to a manifest ("Referrers Tag Schema")."""
    return f"{digest.algorithm[:32]}-{digest.encoded[:64]}"


def cosign_tags(digest: Digest) -> list[str]:
    """Return the tags of what cosign says of a manifest."""
    return [f"{digest.algorithm}-{digest.encoded}.{ending}" for ending in _ENDINGS]


def tagged_subject(text: str) -> Digest | None:
    """Return the digest of what something belongs to by a tag of cosign's; None by another tag."""
    match = _COSIGN.fullmatch(text)
    try:
        return digests.parse(f"{match[1]}:{match[2]}") if match else None
    except InvalidImage:
        return None
