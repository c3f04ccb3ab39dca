"""The OCI image layout, as a folder or in a tar (OCI image spec 1.1, image-layout.md)."""

import msgspec

from ferryman.archive.candidate import Candidate, Layer, Part
from ferryman.archive.documents import Documents
from ferryman.errors import InvalidArchive, InvalidImage, InvalidReference
from ferryman.image import config as configs
from ferryman.image import manifest as manifests
from ferryman.image import reference, referrer
from ferryman.image.config import Config
from ferryman.image.decode import decode
from ferryman.image.digest import Digest
from ferryman.image.manifest import IMAGE_NAME, REF_NAME, TAGGED, Descriptor, Index, Manifest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference

LAYOUT = "oci-layout"
INDEX = "index.json"
_LAYOUT_VERSION = "1.0.0"
_MAX_NESTING = 8
# Documents that one name may lead to: an index for 50 platforms with attestations has 200.
_MAX_DOCUMENTS = 2_000


class _Layout(msgspec.Struct, frozen=True, rename="camel"):
    image_layout_version: str = ""


def part_name(digest: Digest) -> str:
    """Return where a blob lies in a layout."""
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def candidates(source: Documents, platform: Platform | None = None) -> list[Candidate] | None:
    """Return the images of a layout, only those for `platform` if one is given.

    None when it is no layout.  Raises InvalidArchive.
    """
    content = source.document(INDEX)
    if content is None:
        return None
    what = f"{source.what}: {INDEX}"
    try:
        layout = source.document(LAYOUT)
        if layout is not None:
            version = decode(layout, _Layout, f"{source.what}: {LAYOUT}").image_layout_version
            if version != _LAYOUT_VERSION:
                raise InvalidArchive(
                    f"{source.what}: unknown layout version {version[:40]!r}, "
                    f"only {_LAYOUT_VERSION} is known"
                )
        index = manifests.parse(content, what)
        if not isinstance(index, Index):
            raise InvalidArchive(f"{what} is not an index")
        if not index.manifests:
            raise InvalidArchive(f"{what} names no image")
        found = _read(source, index)
    except InvalidImage as e:
        raise InvalidArchive(str(e)) from None
    if platform is None:
        return found
    return [c for candidate in found if (c := _for_platform(candidate, platform))]


def _targets(source: Documents, index: Index) -> list[Descriptor]:
    """List what has, or could have, a name: an index that only gathers named ones is opened."""
    targets: list[Descriptor] = []
    opened: set[str] = set()
    for descriptor in index.manifests or []:
        if descriptor.media_type in manifests.INDEX_TYPES and not _annotated(descriptor):
            if descriptor.digest in opened:
                continue
            opened.add(descriptor.digest)
            inner = _document(source, descriptor)
            children = inner.manifests or [] if isinstance(inner, Index) else []
            if any(_annotated(child) for child in children):
                targets.extend(children)
                continue
        targets.append(descriptor)
    return targets


def _annotated(descriptor: Descriptor) -> bool:
    annotations = descriptor.annotations or {}
    return IMAGE_NAME in annotations or REF_NAME in annotations


def _read(source: Documents, index: Index) -> list[Candidate]:
    """Return what there is of images, each with what belongs to it; other artifacts stay behind.

    A layout has one line a name: those of one target are brought together.
    """
    found: dict[str, Candidate] = {}
    names: dict[str, dict[Reference, None]] = {}
    for target in _targets(source, index):
        if target.digest not in found:
            found[target.digest] = _candidate(source, target)
        names.setdefault(target.digest, {}).update(dict.fromkeys(_names(source, target)[0]))
    # What has a name stands for itself, whatever it says that it belongs to.
    subjects = {
        digest: None if names[digest] else _subject(source, candidate)
        for digest, candidate in found.items()
    }
    images = [
        candidate._replace(
            names=tuple(names[digest]), companions=_companions(candidate, found, subjects)
        )
        for digest, candidate in found.items()
        if not subjects[digest] and any(part.is_image for part in candidate.parts)
    ]
    if not images:
        raise InvalidArchive(f"{source.what} holds no image: nothing but artifacts")
    return images


def _subject(source: Documents, candidate: Candidate) -> Digest | None:
    """Return the digest of what a target belongs to; None if it stands for itself."""
    assert candidate.target
    tag = (candidate.target.annotations or {}).get(TAGGED, "")
    content = candidate.documents[candidate.target.id]
    what = f"{source.what}: manifest {candidate.target.digest}"
    return referrer.tagged_subject(tag) or referrer.subject(content, what)


def _companions(
    image: Candidate, found: dict[str, Candidate], subjects: dict[str, Digest | None]
) -> tuple[Candidate, ...]:
    """Return what belongs to an image, to a part of it, or to what belongs to it."""
    chosen: dict[str, Candidate] = {}
    known = set(image.documents)
    while more := {k: c for k, c in found.items() if subjects[k] in known and k not in chosen}:
        chosen |= more
        known |= {c.target.id for c in more.values() if c.target}
    return tuple(chosen.values())


def _candidate(source: Documents, target: Descriptor) -> Candidate:
    documents: dict[Digest, bytes] = {}
    parts: list[Part] = []
    _descend(source, target, documents, parts, _MAX_NESTING, required=True)
    label = _names(source, target)[1]
    # Names belong to this place, not to the image: the store writes its own.
    annotations = {
        key: value
        for key, value in (target.annotations or {}).items()
        if key not in (IMAGE_NAME, REF_NAME)
    }
    # But for one: the tag by which cosign finds what has no subject.
    if label and referrer.tagged_subject(label):
        annotations[TAGGED] = label
    kept = msgspec.structs.replace(target, annotations=annotations or None)
    return Candidate((), kept, documents, tuple(parts), label)


def _descend(
    source: Documents,
    descriptor: Descriptor,
    documents: dict[Digest, bytes],
    parts: list[Part],
    depth: int,
    *,
    required: bool,
) -> None:
    if not depth or len(documents) > _MAX_DOCUMENTS:
        raise InvalidArchive(f"{source.what}: {descriptor.digest} is nested too deeply")
    if descriptor.id in documents:
        return
    # A platform of an index may be left out altogether; one that is there must be whole.
    content = _blob(source, descriptor, required=required)
    if content is None:
        return
    documents[descriptor.id] = content
    parsed = manifests.parse(content, f"{source.what}: manifest {descriptor.digest}")
    if isinstance(parsed, Index):
        for child in parsed.manifests or []:
            if child.media_type not in manifests.MANIFEST_TYPES | manifests.INDEX_TYPES:
                raise InvalidArchive(
                    f"{source.what}: {child.digest} has the unknown media type "
                    f"{child.media_type[:100]!r}"
                )
            _descend(source, child, documents, parts, depth - 1, required=False)
    else:
        config_bytes = _blob(source, parsed.config, required=True)
        assert config_bytes is not None
        documents[parsed.config.id] = config_bytes
        parts.append(_part(source, descriptor, parsed, config_bytes))


def _part(source: Documents, descriptor: Descriptor, manifest: Manifest, content: bytes) -> Part:
    digest = manifest.config.id
    is_image = manifests.is_image(manifest)
    if not is_image:
        # An artifact (a signature, an SBOM, a chart): its blobs are carried along as they are.
        config = Config()
        diff_ids: list[Digest | None] = [None for _ in manifest.layers or []]
    else:
        config = configs.parse(content, f"{source.what}: config {digest}")
        diff_ids = _diff_ids(source, manifest, config)
    layers = tuple(
        Layer(diff_id, layer, source.find(part_name(layer.id)))
        for diff_id, layer in zip(diff_ids, manifest.layers or [], strict=True)
    )
    for layer in layers:
        assert layer.descriptor is not None
        if layer.part is not None and source.size(layer.part) != layer.descriptor.size:
            raise InvalidArchive(
                f"{source.what}: layer {layer.descriptor.digest} has {source.size(layer.part)} "
                f"bytes, its descriptor says {layer.descriptor.size}"
            )
    return Part(digest, config, layers, descriptor.id, is_image)


def _diff_ids(source: Documents, manifest: Manifest, config: Config) -> list[Digest | None]:
    layers = manifest.layers or []
    if any(manifests.compression_of(layer.media_type) is None for layer in layers):
        # Attestations and encrypted layers: what they would unpack to is nobody's business here.
        return [None for _ in layers]
    diff_ids = config.diff_ids
    if len(diff_ids) != len(layers):
        raise InvalidArchive(
            f"{source.what}: invalid manifest, layers length mismatch: "
            f"expected {len(diff_ids)}, got {len(layers)}"
        )
    return list(diff_ids)


def _document(source: Documents, descriptor: Descriptor) -> Manifest | Index:
    content = _blob(source, descriptor, required=True)
    assert content is not None
    return manifests.parse(content, f"{source.what}: manifest {descriptor.digest}")


def _blob(source: Documents, descriptor: Descriptor, *, required: bool) -> bytes | None:
    """Return a JSON blob, its size and digest checked."""
    content = source.document(part_name(descriptor.id))
    if content is None:
        if required:
            raise InvalidArchive(f"{source.what}: blob {descriptor.digest} is missing")
        return None
    running = descriptor.id.hasher()
    running.update(content)
    if running.hexdigest() != descriptor.id.encoded or len(content) != descriptor.size:
        raise InvalidArchive(
            f"{source.what}: blob {descriptor.digest} is damaged: it has {len(content)} bytes "
            f"(its descriptor says {descriptor.size}) and the digest "
            f"{descriptor.id.algorithm}:{running.hexdigest()}"
        )
    return content


def _names(source: Documents, target: Descriptor) -> tuple[tuple[Reference, ...], str | None]:
    annotations = target.annotations or {}
    text = annotations.get(IMAGE_NAME)
    if not text:
        text = annotations.get(REF_NAME)
        # A word alone is a tag, by the specification and in what docker writes: the tag of what?
        if not text or not (":" in text or "/" in text):
            return (), text
    try:
        name = reference.parse(text)
    except InvalidReference as e:
        if annotations.get(IMAGE_NAME):
            raise InvalidArchive(f"{source.what}: {INDEX}: {e}") from None
        return (), text
    # A name by digest says nothing that the target does not say.
    return ((name._replace(digest=None).tagged(),) if name.tag or not name.digest else ()), None


def _for_platform(candidate: Candidate, platform: Platform) -> Candidate | None:
    """Return the candidate with only the parts for one platform; None when it has none."""
    parts = tuple(p for p in candidate.parts if p.config.platform.matches(platform))
    if not parts:
        return None
    dropped = [part for part in candidate.parts if part not in parts]
    gone = {d for part in dropped for d in (part.config_digest, part.manifest)}
    kept = {d for part in parts for d in (part.config_digest, part.manifest)}
    documents = {d: c for d, c in candidate.documents.items() if d in kept or d not in gone}
    return candidate._replace(parts=parts, documents=documents)
