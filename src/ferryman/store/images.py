"""What a name, an ID or a digest stands for: images, read from the index and the blobs."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ferryman.errors import ImageNotFound, InvalidImage, InvalidReference, StoreError
from ferryman.image import config as configs
from ferryman.image import manifest as manifests
from ferryman.image import platform as platforms
from ferryman.image import reference
from ferryman.image.config import Config
from ferryman.image.decode import MAX_JSON
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Index, Manifest
from ferryman.image.platform import Platform
from ferryman.image.reference import Reference
from ferryman.store import blobs, layers
from ferryman.store.index import Entry, came_with, entries
from ferryman.store.layout import Store

_MAX_NESTING = 8
_ID = re.compile(r"(?:sha256:)?([a-f0-9]{1,64})")
_FULL_ID = re.compile(r"sha256:[a-f0-9]{64}")


class Image(NamedTuple):
    """One image: what its names point to, and the manifest and config for one platform."""

    target: Descriptor
    manifest_descriptor: Descriptor
    manifest: Manifest
    config: Config
    names: tuple[Reference, ...]
    pushed: Mapping[Reference, Digest] = {}
    """By a name, the digest that it has at its registry, where that is another one."""

    @property
    def id(self) -> Digest:
        """The image ID, as docker has it: the digest of the config."""
        return Digest(self.manifest.config.digest)

    @property
    def digest(self) -> Digest:
        """The digest of the manifest or index that the names point to."""
        return Digest(self.target.digest)

    @property
    def layers(self) -> list[Descriptor]:
        """The stored layers, lowest first."""
        return self.manifest.layers or []

    @property
    def repo_tags(self) -> list[str]:
        """The names with a tag, as docker shows them."""
        return [name.familiar for name in self.names if name.tag]

    @property
    def repo_digests(self) -> list[str]:
        """Each repository that the image has a name in, with the image's digest."""
        pairs = (f"{name.familiar_name}@{self.digest_of(name)}" for name in self.names)
        return list(dict.fromkeys(pairs))

    def digest_of(self, name: Reference) -> Digest:
        """Return the digest by which the registry of a name knows the image, as far as is known."""
        return self.pushed.get(name, self.digest)


def read_document(store: Store, descriptor: Descriptor) -> bytes:
    """Return the bytes of a manifest, index or config; raises StoreError."""
    return blobs.read(store, descriptor.id, MAX_JSON)


def walk(store: Store, target: Descriptor) -> Iterator[tuple[Descriptor, Manifest | Index]]:
    """Yield the target and all manifests and indexes below it that are here.

    Each comes once, however often it is named.  A part of an index that is not here is passed
    over: an index may be kept for one of its platforms only.  Raises StoreError when the target
    itself is missing or anything is damaged.
    """
    if blobs.size(store, target.id) is None:
        raise StoreError(
            f"manifest {target.digest} of the store {store.root} is missing: "
            "run `ferry system check --repair`"
        )
    yield from _walk(store, target, _MAX_NESTING, set())


def _walk(
    store: Store, target: Descriptor, depth: int, seen: set[str]
) -> Iterator[tuple[Descriptor, Manifest | Index]]:
    if not depth:
        raise StoreError(f"index {target.digest} is nested too deeply")
    if target.digest in seen or blobs.size(store, target.id) is None:
        return
    seen.add(target.digest)
    try:
        document = manifests.parse(read_document(store, target), f"manifest {target.digest}")
    except InvalidImage as e:
        raise StoreError(str(e)) from None
    yield target, document
    if isinstance(document, Index):
        for child in document.manifests or []:
            if child.media_type in manifests.MANIFEST_TYPES | manifests.INDEX_TYPES:
                yield from _walk(store, child, depth - 1, seen)


def referenced(store: Store, target: Descriptor) -> Iterator[Descriptor]:
    """Yield the descriptor of every blob that a target needs and that is meant to be here."""
    for descriptor, document in walk(store, target):
        yield descriptor
        if isinstance(document, Manifest):
            yield document.config
            yield from document.layers or []


def of_target(
    store: Store,
    target: Descriptor,
    names: Sequence[Reference] = (),
    platform: Platform | None = None,
) -> Image:
    """Return the image that a target stands for.

    Of an index, that is the one for `platform`; without it, this machine's, or else the first one
    that is here.  Raises ImageNotFound when there is none for the platform, and StoreError.
    """
    candidates = [
        (descriptor, document)
        for descriptor, document in walk(store, target)
        if isinstance(document, Manifest) and manifests.is_image(document)
    ]
    found: list[tuple[Descriptor, Manifest, Config]] = []
    for descriptor, document in candidates:
        config = configs.parse(
            read_document(store, document.config), f"config {document.config.digest}"
        )
        if platform and not config.platform.matches(platform):
            continue
        # BuildKit's attestations dress up as images for a platform of their own.
        if config.os == "unknown" and len(candidates) > 1:
            continue
        found.append((descriptor, document, config))
    if not found:
        wanted = f" for platform {platform}" if platform else ""
        called = names[0].familiar if names else target.digest
        raise ImageNotFound(f"no image{wanted} in {called}")
    here = platforms.host()
    runnable = [f for f in found if here.runs(f[2].platform)]
    # Of several arm variants that run here, the latest is the best.
    best = max(runnable, key=lambda f: f[2].platform.normal.variant or "") if runnable else found[0]
    return Image(target, *best, tuple(names))


def all_images(store: Store) -> list[Image]:
    """Return every image of the store with all its names; raises StoreError."""
    return list(_grouped(store, entries(store)))


def _grouped(store: Store, listed: Iterable[Entry]) -> Iterator[Image]:
    listed = list(listed)
    pushed = _pushed(listed)
    names: dict[Digest, list[Reference]] = {}
    targets: dict[Digest, Descriptor] = {}
    for entry in listed:
        if came_with(entry):
            continue
        targets.setdefault(entry.digest, entry.target)
        group = names.setdefault(entry.digest, [])
        if entry.name:
            group.append(entry.name)
    for digest, target in targets.items():
        try:
            yield of_target(store, target, names[digest])._replace(pushed=pushed)
        except ImageNotFound:
            continue  # an artifact, put there by another tool


def find(store: Store, text: str, platform: Platform | None = None) -> Image:
    """Return the image with this name, ID, short ID or digest, with all its names.

    Raises ImageNotFound with docker's words, InvalidReference, StoreError.
    """
    image, _ = resolve(store, text, platform)
    return image


def resolve(
    store: Store, text: str, platform: Platform | None = None
) -> tuple[Image, Reference | None]:
    """Return the image, and the name by which it was found (None when it was an ID).

    A name comes before an ID, as in docker.
    """
    listed = entries(store)
    if entry := _by_name(listed, text):
        names = [e.name for e in listed if e.digest == entry.digest and e.name]
        image = of_target(store, entry.target, names, platform)
        return image._replace(pushed=_pushed(listed)), entry.name
    if match := _ID.fullmatch(text):
        prefix = match.group(1)
        everything = list(_grouped(store, listed))
        # An image ID comes before the digest of a manifest.
        images = [i for i in everything if i.id.encoded.startswith(prefix)]
        images = images or [i for i in everything if i.digest.encoded.startswith(prefix)]
        if (like := len({image.id for image in images})) > 1:
            raise ImageNotFound(f"{text} is ambiguous: {like} images have IDs like it")
        if images:
            image = images[0]
            # One config may have been stored with several manifests (plain and compressed layers).
            together = tuple(name for each in images for name in each.names)
            if platform:
                image = of_target(store, image.target, together, platform)
                image = image._replace(pushed=_pushed(listed))
            return image._replace(names=together), None
    raise ImageNotFound(f"No such image: {_shown(text)}")


def _pushed(listed: Iterable[Entry]) -> Mapping[Reference, Digest]:
    return {e.name: e.pushed_as for e in listed if e.name and e.pushed_as}


def _by_name(listed: Sequence[Entry], text: str) -> Entry | None:
    if _FULL_ID.fullmatch(text):
        return None
    try:
        wanted = reference.parse(text)
    except InvalidReference:
        if _ID.fullmatch(text):
            return None
        raise
    if wanted.digest:
        for entry in listed:
            if not entry.name or entry.name.name != wanted.name:
                continue
            if wanted.digest in (entry.digest, entry.pushed_as):
                return entry
        return None
    wanted = wanted.tagged()
    return next((entry for entry in listed if entry.name == wanted), None)


def _shown(text: str) -> str:
    """Write a name as docker does in its errors, with the tag that was meant."""
    if match := _ID.fullmatch(text):
        if ":" in text:
            return text
        if len(match.group(1)) == 64:
            return f"sha256:{text}"
    try:
        return reference.parse(text).tagged().familiar
    except InvalidReference:
        return text


def size(store: Store, image: Image) -> int:
    """Return the bytes of an image's layers when uncompressed."""
    return sum(
        layers.uncompressed_size(store, descriptor.id, descriptor.size)
        for descriptor in image.layers
    )
