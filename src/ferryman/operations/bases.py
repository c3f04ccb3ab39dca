"""What ``save --base`` leaves out: layers that the place an archive goes to has already."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

from ferryman.archive import read
from ferryman.archive.bases import Base
from ferryman.archive.write import Saved
from ferryman.errors import ImageNotFound, InvalidImage, InvalidReference, StoreError
from ferryman.image import config as configs
from ferryman.image import manifest as manifests
from ferryman.image.decode import MAX_JSON
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.operations.input import opened
from ferryman.operations.inventory import from_file
from ferryman.store import blobs
from ferryman.store.images import referenced, resolve, walk
from ferryman.store.layout import Store
from ferryman.store.lease import reading
from ferryman.transfer import inventory
from ferryman.transfer.inventory import Held, Inventory


def known(store: Store, texts: Sequence[str]) -> list[Inventory]:
    """Return what is there by each text: an image of the store, an archive or an inventory.

    A name of the store comes before a file of the same name.  Of an archive only the JSON is read.
    Raises ImageNotFound, InvalidArchive, InvalidInventory, StoreError.
    """
    return [_known(store, text) for text in texts]


def _known(store: Store, text: str) -> Inventory:
    if (image := _here(store, text)) is not None:
        return image
    if path := archived(store, text):
        return _of_archive(path)
    if not os.path.exists(text):
        raise ImageNotFound(
            f"no base {text}: neither an image of the store nor a file has this name"
        )
    return _completed(store, from_file(text))


def _here(store: Store, text: str) -> Inventory | None:
    try:
        with reading(store):
            image, _ = resolve(store, text)
            names = tuple(name.familiar for name in image.names)
            return _of_image(store, image.target, names)
    except (ImageNotFound, InvalidReference):
        return None


def archived(store: Store, text: str) -> str | None:
    """Return the path of the archive that a text stands for; None when it is anything else."""
    if not os.path.exists(text):
        return None
    try:
        with reading(store):
            resolve(store, text)
        return None
    except (ImageNotFound, InvalidReference):
        pass
    with read.opened(text) as fd:
        head = os.pread(fd, 64, 0) if os.path.isfile(text) else b""
    return None if inventory.is_one(head) else text


def _of_image(store: Store, target: Descriptor, names: tuple[str, ...]) -> Inventory:
    held = tuple(
        Held(manifest.config.id, tuple(diff_ids), names)
        for manifest, diff_ids in images_of(store, target)
    )
    return Inventory("any", held, frozenset(blob.id for blob in referenced(store, target)))


def images_of(store: Store, target: Descriptor) -> Iterator[tuple[Manifest, list[Digest]]]:
    """Yield the manifests of all platforms that a target has here, with their diff IDs."""
    for _, document in walk(store, target):
        if isinstance(document, Manifest) and manifests.is_image(document):
            content = blobs.read(store, document.config.id, MAX_JSON)
            config = configs.parse(content, f"config {document.config.digest}")
            yield document, config.diff_ids


def _of_archive(path: str) -> Inventory:
    with opened([path]) as (given, what):
        candidates = read.candidates(read.source(given, what, None))
    held, there = [], set[Digest]()
    for candidate in candidates:
        names = tuple(name.familiar for name in candidate.names)
        for part in (part for part in candidate.parts if part.is_image):
            held.append(Held(part.config_digest, tuple(part.config.diff_ids), names))
            # Where no digest is given, a layer is taken to be there as the tar that it is.
            for layer in part.layers:
                if digest := layer.descriptor.id if layer.descriptor else layer.diff_id:
                    there.add(digest)
    return Inventory("any", tuple(held), frozenset(there))


def _completed(store: Store, site: Inventory) -> Inventory:
    """Add the blobs of what a site has only told the manifest of, as far as that is here too."""
    there = set(site.blobs)
    with reading(store):
        for digest in site.blobs if site.engine == "containerd" else ():
            if size := blobs.size(store, digest):
                target = Descriptor(manifests.OCI_MANIFEST, digest, size)
                with suppress(InvalidImage, StoreError):  # no manifest, or a damaged one
                    there |= {blob.id for blob in referenced(store, target)}
    return site._replace(blobs=frozenset(there))


def without(store: Store, images: Sequence[Saved], sites: Sequence[Inventory]) -> list[Saved]:
    """Return the images without the layers that need not be sent; each names its base.

    A layer that one of them lacks in its place is sent, though another would not need it.
    Raises StoreError.
    """
    layers, needed = set[Digest](), set[Digest]()
    bases: list[Base | None] = []
    for image in images:
        nearest: Held | None = None
        for manifest, diff_ids in images_of(store, image.target):
            stored = [layer.id for layer in manifest.layers or []]
            missing = inventory.lacking(stored, diff_ids, sites)
            layers |= set(stored)
            needed |= missing
            if len(missing) < len(set(stored)) and nearest is None:
                nearest = inventory.nearest(diff_ids, sites)
        bases.append(Base(nearest.id, nearest.names) if nearest else None)
    left_out = layers - needed
    return [
        image._replace(blobs=tuple(b for b in image.blobs if b.id not in left_out), base=base)
        for image, base in zip(images, bases, strict=True)
    ]
