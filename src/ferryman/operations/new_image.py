"""A new image of layers that are here and one that has just been made: import, commit."""

from collections.abc import Mapping, Sequence
from typing import Any

from ferryman.archive.intake import Taken
from ferryman.errors import StoreError
from ferryman.image import manifest as manifests
from ferryman.image.decode import encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.image.reference import Reference
from ferryman.store import blobs
from ferryman.store.index import Entry, named, nameless, update
from ferryman.store.lease import Lease


def keep(
    lease: Lease,
    config: Mapping[str, Any],
    below: Sequence[Descriptor],
    layer: Taken | None,
    name: Reference | None,
) -> Digest:
    """Keep an image of the layers `below`, and a plain one on top if there is one; return its ID.

    The lease protects the layers.  Raises StoreError.
    """
    store = lease.store
    try:
        if layer and blobs.size(store, layer.digest) != layer.size:
            blobs.adopt(lease, layer.path, layer.digest)
    except OSError as e:
        raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None
    top = [Descriptor(manifests.OCI_LAYER, layer.digest, layer.size)] if layer else []
    return put(lease, config, [*below, *top], [name] if name else [])


def put(
    lease: Lease,
    config: Mapping[str, Any],
    layers: Sequence[Descriptor],
    names: Sequence[Reference],
) -> Digest:
    """Keep an image of layers that are here, under its names, and return its ID.

    The lease protects the layers.  Raises StoreError.
    """
    store = lease.store
    try:
        content = encode(config)
        image_id = blobs.put(lease, content)
        manifest = encode(
            Manifest(
                schema_version=2,
                media_type=manifests.OCI_MANIFEST,
                config=Descriptor(manifests.OCI_CONFIG, image_id, len(content)),
                layers=list(layers),
            )
        )
        target = Descriptor(manifests.OCI_MANIFEST, blobs.put(lease, manifest), len(manifest))
        blobs.sync(store)
    except OSError as e:
        raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None

    def changed(old: Sequence[Entry]) -> Sequence[Entry]:
        for name in names:
            old = named(old, name, target)
        return old if names else nameless(old, target)

    update(store, changed)
    return image_id
