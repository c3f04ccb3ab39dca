"""The docker-archive: ``manifest.json`` names a config and layers (docker 1.10 and later).

Also written, in their own ways, by podman, buildah, kaniko, bazel, jib and nix: where the parts lie
is up to the writer, so nothing is read from their names but a digest to be checked.
"""

import re

import msgspec

from ferryman.archive.candidate import Candidate, Layer, Part
from ferryman.archive.documents import Documents
from ferryman.errors import InvalidArchive, InvalidImage, InvalidReference
from ferryman.image import config as configs
from ferryman.image import digest as digests
from ferryman.image import reference
from ferryman.image.config import Config
from ferryman.image.decode import decode
from ferryman.image.reference import Reference

MANIFEST = "manifest.json"
_DIGEST_IN_NAME = re.compile(r"(?:.*[/:])?([a-f0-9]{64})(?:\.json)?")


class Entry(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """One image of a ``manifest.json``: names of parts, lowest layer first."""

    config: str
    repo_tags: list[str] | None = None
    layers: list[str] | None = None


def candidates(source: Documents) -> list[Candidate] | None:
    """Return the images of a docker-archive; None when it has no ``manifest.json``.

    Raises InvalidArchive, with docker's words where docker has some.
    """
    content = source.document(MANIFEST)
    if content is None:
        return None
    what = f"{source.what}: {MANIFEST}"
    if content.lstrip().startswith(b"{"):
        raise InvalidArchive(
            f"{what} is no list of images: this looks like the dir: form of skopeo and podman; "
            "make it an archive first, with skopeo copy dir:FOLDER oci-archive:FILE"
        )
    try:
        listed = decode(content, list[Entry] | None, what)  # type: ignore[arg-type]
        if not listed:
            raise InvalidArchive(f"{what} names no image")
        configs = {entry.config: _config(source, entry.config, what) for entry in listed}
        return [_candidate(source, entry, *configs[entry.config], what) for entry in listed]
    except InvalidImage as e:
        raise InvalidArchive(str(e)) from None


def _config(source: Documents, name: str, what: str) -> tuple[bytes, Config]:
    content = source.document(name)
    if content is None:
        raise InvalidArchive(f"{what}: config {name[:200]!a} is not in the archive")
    digest = digests.of(content)
    named = _DIGEST_IN_NAME.fullmatch(name)
    if named and named.group(1) != digest.encoded:
        raise InvalidArchive(f"{source.what}: config {name} is damaged: its digest is {digest}")
    return content, configs.parse(content, f"{source.what}: config {name[:200]!a}")


def _candidate(
    source: Documents, entry: Entry, content: bytes, config: Config, what: str
) -> Candidate:
    digest = digests.of(content)
    diff_ids = config.diff_ids
    names = entry.layers or []
    if len(names) != len(diff_ids):
        raise InvalidArchive(
            f"{source.what}: invalid manifest, layers length mismatch: "
            f"expected {len(diff_ids)}, got {len(names)}"
        )
    layers = tuple(
        Layer(diff_id, None, source.find(name))
        for diff_id, name in zip(diff_ids, names, strict=True)
    )
    return Candidate(
        names=tuple(_name(tag, what) for tag in entry.repo_tags or []),
        target=None,
        documents={digest: content},
        parts=(Part(digest, config, layers),),
    )


def _name(text: str, what: str) -> Reference:
    try:
        name = reference.parse(text)
    except InvalidReference as e:
        raise InvalidArchive(f"{what}: {e}") from None
    if name.tag is None or name.digest is not None:
        raise InvalidArchive(f'{what}: invalid tag "{text}"')
    return name
