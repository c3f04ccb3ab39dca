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
from ferryman.store.index import named, nameless, update
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
        content = encode(config)
        top = [Descriptor(manifests.OCI_LAYER, layer.digest, layer.size)] if layer else []
        image_id = blobs.put(lease, content)
        manifest = encode(
            Manifest(
                schema_version=2,
                media_type=manifests.OCI_MANIFEST,
                config=Descriptor(manifests.OCI_CONFIG, image_id, len(content)),
                layers=[*below, *top],
            )
        )
        target = Descriptor(manifests.OCI_MANIFEST, blobs.put(lease, manifest), len(manifest))
        blobs.sync(store)
    except OSError as e:
        raise StoreError(f"cannot write to the store {store.root}: {e.strerror}") from None
    update(store, lambda old: named(old, name, target) if name else nameless(old, target))
    return image_id
