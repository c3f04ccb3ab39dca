"""What a site has: the file that is carried back from it, and what it need not be sent.

A file is JSON of one object; diff IDs are written once, in ``layers``, and images name them by
their places in it.  What ``docker image inspect`` prints is read as an inventory, too.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

import msgspec

from ferryman.errors import FerryError, InvalidImage
from ferryman.image import config as configs
from ferryman.image import digest as digests
from ferryman.image import manifest as manifests
from ferryman.image.decode import MAX_JSON, decode, encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.store import blobs
from ferryman.store.images import referenced, walk
from ferryman.store.index import entries
from ferryman.store.layout import Store
from ferryman.store.lease import reading

VERSION = 1
MAX_SIZE = 64 << 20
"""The bytes that an inventory may have: those of some 100,000 images."""

# Layers of all images: a small file may name one list of them again and again.
_MAX_LAYERS = 500_000
# Where docker keeps images by chain IDs; any other name is a snapshotter of containerd.
_GRAPH_DRIVERS = frozenset(
    ("overlay2", "overlay", "vfs", "btrfs", "zfs", "aufs", "devicemapper", "fuse-overlayfs")
)


# Its words are docker's, but for the IDs.
_PODMANS = re.compile(r"[a-f0-9]{64}")


class InvalidInventory(FerryError):
    """A file that cannot be read as the inventory of a site."""


class Held(NamedTuple):
    """One image of a site: its ID, the diff IDs of its layers (lowest first), and its names."""

    id: Digest
    diff_ids: tuple[Digest, ...]
    names: tuple[str, ...] = ()


class Inventory(NamedTuple):
    """What a site has."""

    engine: str
    """What loads images there, and so what of a layer must be there already: "ferry" and
    "containerd" look for its blob, "docker" (with a graph driver) for its chain ID; where it is
    "any", both must be."""
    images: tuple[Held, ...] = ()
    blobs: frozenset[Digest] = frozenset()
    """The digests of all that is there, as far as it is known."""

    @property
    def diff_ids(self) -> set[Digest]:
        """The diff IDs of all layers of images, wherever they stand in them."""
        return {diff_id for image in self.images for diff_id in image.diff_ids}


class _Image(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    layers: list[int] = []
    names: list[str] = []


class _File(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    ferry_inventory: int
    engine: str = "any"
    layers: list[str] = []
    images: list[_Image] = []
    blobs: list[str] = []


class _RootFS(msgspec.Struct, frozen=True, rename="pascal"):
    layers: list[str] | None = None


class _Driver(msgspec.Struct, frozen=True, rename="pascal"):
    name: str = ""


class _Inspected(msgspec.Struct, frozen=True, rename="pascal"):
    """An image as docker's API describes it."""

    id: str
    repo_tags: list[str] | None = None
    repo_digests: list[str] | None = None
    root_f_s: _RootFS = msgspec.field(default=_RootFS(), name="RootFS")
    graph_driver: _Driver | None = None
    descriptor: Descriptor | None = None


def from_store(store: Store) -> Inventory:
    """Return what a store of ours has; raises StoreError."""
    held: dict[Digest, Held] = {}
    there: set[Digest] = set()
    with reading(store):
        for entry in entries(store):
            there |= {b.id for b in referenced(store, entry.target) if _is_here(store, b)}
            for descriptor, document in walk(store, entry.target):
                if isinstance(document, Manifest) and manifests.is_image(document):
                    image = _held(store, descriptor, document)
                    before = held.get(image.id, image)
                    names = before.names + ((entry.name.familiar,) if entry.name else ())
                    held[image.id] = image._replace(names=tuple(dict.fromkeys(names)))
    return Inventory("ferry", tuple(held.values()), frozenset(there))


def _held(store: Store, descriptor: Descriptor, manifest: Manifest) -> Held:
    content = blobs.read(store, manifest.config.id, MAX_JSON)
    config = configs.parse(content, f"config {manifest.config.digest} of {descriptor.digest}")
    return Held(manifest.config.id, tuple(config.diff_ids))


def _is_here(store: Store, blob: Descriptor) -> bool:
    return blobs.size(store, blob.id) == blob.size


def write(inventory: Inventory) -> bytes:
    """Return the inventory as a file: the same inventory gives the same bytes."""
    images = sorted(inventory.images)
    places: dict[Digest, int] = {}
    for image in images:
        for diff_id in image.diff_ids:
            places.setdefault(diff_id, len(places))
    file = _File(
        ferry_inventory=VERSION,
        engine=inventory.engine,
        layers=list(places),
        images=[_Image(i.id, [places[d] for d in i.diff_ids], list(i.names)) for i in images],
        blobs=sorted(inventory.blobs),
    )
    return encode(file) + b"\n"


def is_one(head: bytes) -> bool:
    """Tell whether a file that begins like this may be an inventory: it is JSON, not an archive."""
    return head.lstrip()[:1] in (b"{", b"[")


def read(content: bytes, what: str) -> Inventory:
    """Return the inventory of a file; raises InvalidInventory, with `what` as its subject."""
    if content.lstrip()[:1] == b"[":
        return from_docker_inspect(content, what)
    try:
        file = decode(content, _File, what, MAX_SIZE)
        if file.ferry_inventory != VERSION:
            raise InvalidImage(
                f"{what} is an inventory of the version {file.ferry_inventory}, "
                f"only {VERSION} is known"
            )
        known = [digests.parse(layer) for layer in file.layers]
        if sum(len(image.layers) for image in file.images) > _MAX_LAYERS:
            raise InvalidImage(f"{what} has images of more than {_MAX_LAYERS} layers")
        images = tuple(_from_file(image, known, what) for image in file.images)
        return Inventory(file.engine, images, frozenset(map(digests.parse, file.blobs)))
    except InvalidImage as e:
        raise InvalidInventory(f"{e}; expected what `ferry inventory` writes") from None


def _from_file(image: _Image, known: Sequence[Digest], what: str) -> Held:
    if any(not 0 <= place < len(known) for place in image.layers):
        raise InvalidImage(f"{what} names a layer that it does not list")
    diff_ids = tuple(known[place] for place in image.layers)
    return Held(digests.parse(image.id), diff_ids, tuple(image.names))


def from_docker_inspect(content: bytes, what: str) -> Inventory:
    """Return what ``docker image inspect $(docker image ls -q)`` says that a docker has.

    Raises InvalidInventory.
    """
    try:
        found = decode(content, list[_Inspected], what, MAX_SIZE)
        if any(_PODMANS.fullmatch(image.id) for image in found):
            raise InvalidInventory(
                f"{what} is what podman prints: podman takes no archive that lacks layers"
            )
        images = tuple(
            Held(
                digests.parse(image.id),
                tuple(map(digests.parse, image.root_f_s.layers or [])),
                tuple(image.repo_tags or []),
            )
            for image in found
        )
        there = {digest for image in found for digest in _digests(image)}
    except InvalidImage as e:
        raise InvalidInventory(f"{e}; expected what `docker image inspect` prints") from None
    graph = not any(_in_containerd(image) for image in found)
    return Inventory("docker" if graph else "containerd", images, frozenset(there))


def from_layout(blobs: Iterable[str], images: Iterable[Any]) -> Inventory:
    """Return what an OCI image layout has: the digests of blobs, and what its index lists.

    Raises InvalidInventory.
    """
    held = []
    try:
        for image in images:
            name = (image.get("annotations") or {}).get(manifests.IMAGE_NAME)
            names = (str(name),) if name else ()
            held.append(Held(digests.parse(str(image["digest"])), (), names))
        return Inventory("ferry", tuple(held), frozenset(map(digests.parse, blobs)))
    except (FerryError, AttributeError, KeyError, TypeError):
        raise InvalidInventory("its layout cannot be read") from None


def _digests(image: _Inspected) -> Iterable[Digest]:
    """Yield the digests of an image's manifest, or index: whoever knows it knows its blobs."""
    yield digests.parse(image.id)
    if image.descriptor:
        yield image.descriptor.id
    for name in image.repo_digests or []:
        yield digests.parse(name.rpartition("@")[2])


def _in_containerd(image: _Inspected) -> bool:
    if image.descriptor is not None:
        return True
    return image.graph_driver is not None and image.graph_driver.name not in _GRAPH_DRIVERS


def chains(inventory: Inventory) -> frozenset[Digest]:
    """Return the chain IDs of all layers there, each in the place where it stands in an image."""
    return _chains(inventory.images)


@lru_cache(maxsize=16)  # asked for each image that may be sent
def _chains(images: tuple[Held, ...]) -> frozenset[Digest]:
    return frozenset(
        chain
        for diff_ids in {image.diff_ids for image in images}
        for chain in configs.chain_ids(diff_ids)
    )


def lacking(
    stored: Sequence[Digest], diff_ids: Sequence[Digest], sites: Iterable[Inventory]
) -> set[Digest]:
    """Return what of an image's layers must be sent: `stored` are its blobs, lowest first.

    All that `sites` lists is in one place: what any of them has need not be sent.
    """
    missing = set(range(len(stored)))
    for site in sites:
        by_blob = {i for i, digest in enumerate(stored) if digest in site.blobs}
        have = chains(site) if site.engine in ("docker", "any") else frozenset()
        by_chain = {i for i, chain in enumerate(configs.chain_ids(diff_ids)) if chain in have}
        match site.engine:
            case "docker":
                missing -= by_chain
            case "any":
                missing -= by_chain & by_blob
            case _:
                missing -= by_blob
    return {stored[i] for i in missing}


def alike(names: Iterable[str], diff_ids: Sequence[Digest], site: Inventory) -> list[Digest]:
    """Return the layers there, first those that are most likely to resemble an image's.

    `names` are whole.  They are those of images of the same repositories, then of images that have
    most layers in common with it; what the image has itself comes last.
    """
    own = set(diff_ids)
    repositories = {name.rpartition(":")[0] for name in names}

    def likeness(held: Held) -> tuple[bool, int]:
        named = any(name.rpartition(":")[0] in repositories for name in held.names)
        return named, len(own.intersection(held.diff_ids))

    images = sorted(site.images, key=likeness, reverse=True)
    there = list(dict.fromkeys(diff_id for held in images for diff_id in held.diff_ids))
    return [d for d in there if d not in own] + [d for d in there if d in own]


def nearest(diff_ids: Sequence[Digest], sites: Iterable[Inventory]) -> Held | None:
    """Return the image there that shares the most layers with one, from the lowest on."""
    best, most = None, 0
    for site in sites:
        for image in site.images:
            pairs = zip(diff_ids, image.diff_ids, strict=False)
            shared = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
            # Of several that share as much, one with a name says more to who reads of it.
            if shared > most or (best and shared == most and image.names and not best.names):
                best, most = image, shared
    return best
