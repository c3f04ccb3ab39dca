"""Layers of an archive that are there as deltas: what has to be at the place that it goes to.

The manifest of an image stays what it is.  Beside it the layout has an artifact whose layers are
deltas (docs/delta-format.md); each says by annotations which blob it makes, of which others.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ferryman.archive import oci
from ferryman.archive.source import Source
from ferryman.errors import InvalidArchive, InvalidImage
from ferryman.image import digest as digests
from ferryman.image import manifest as manifests
from ferryman.image.decode import encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index, Manifest

MEDIA_TYPE = "application/vnd.ferryman.layer.delta.v1"
ARTIFACT = "application/vnd.ferryman.deltas.v1"
_RESULT = "ferryman.delta.result"
_BASES = "ferryman.delta.bases"
_EMPTY = b"{}"


class Delta(NamedTuple):
    """A blob that makes a layer, whose digest and diff ID are one, of the layers of `bases`."""

    blob: Descriptor
    result: Digest
    bases: tuple[Digest, ...]
    """The diff IDs of all layers that it takes something from."""


class Prepared(NamedTuple):
    """A delta that is to be written to an archive, from a file at `path`."""

    delta: Delta
    path: str


def descriptor(digest: Digest, size: int, result: Digest, bases: Sequence[Digest]) -> Descriptor:
    """Return what an archive says of a delta."""
    return Descriptor(
        MEDIA_TYPE, digest, size, annotations={_RESULT: result, _BASES: " ".join(bases)}
    )


def artifact(deltas: Sequence[Delta]) -> tuple[Descriptor, dict[Digest, bytes]]:
    """Return the artifact that has these deltas for layers, and its documents."""
    config = Descriptor(ARTIFACT, digests.of(_EMPTY), len(_EMPTY))
    manifest = encode(
        Manifest(
            schema_version=2,
            media_type=manifests.OCI_MANIFEST,
            config=config,
            layers=[delta.blob for delta in deltas],
        )
    )
    digest = digests.of(manifest)
    described = Descriptor(manifests.OCI_MANIFEST, digest, len(manifest), artifact_type=ARTIFACT)
    return described, {digest: manifest, config.id: _EMPTY}


def of(source: Source) -> dict[Digest, Delta]:
    """Return the deltas of an archive, by the digests of the layers that they make.

    Raises InvalidArchive.
    """
    content = source.document(oci.INDEX)
    if content is None:
        return {}
    try:
        index = manifests.parse(content, f"{source.what}: {oci.INDEX}")
        found: dict[Digest, Delta] = {}
        for described in (index.manifests or []) if isinstance(index, Index) else []:
            if described.artifact_type == ARTIFACT:
                found |= _of_artifact(source, described)
        return found
    except InvalidImage as e:
        raise InvalidArchive(str(e)) from None


def _of_artifact(source: Source, described: Descriptor) -> dict[Digest, Delta]:
    what = f"{source.what}: manifest {described.digest}"
    content = source.document(oci.part_name(described.id))
    if content is None or digests.of(content) != described.digest:
        raise InvalidArchive(f"{what} is missing or damaged")
    manifest = manifests.parse(content, what)
    found: dict[Digest, Delta] = {}
    for blob in (manifest.layers or []) if isinstance(manifest, Manifest) else []:
        if blob.media_type == MEDIA_TYPE:
            said = blob.annotations or {}
            result = digests.parse(said.get(_RESULT, ""))
            bases = tuple(map(digests.parse, said.get(_BASES, "").split()))
            found[result] = Delta(msgspec.structs.replace(blob, annotations=None), result, bases)
    return found
