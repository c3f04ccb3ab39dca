"""Create: a container of an image, which does not run yet."""

import os
from collections.abc import Callable, Mapping

import msgspec

from ferryman.image import config as configs
from ferryman.image.platform import Platform
from ferryman.operations.names import made_up
from ferryman.runtime import merge, mounts, networks, record, verify
from ferryman.runtime.finish import now
from ferryman.runtime.record import Container, Layer, State
from ferryman.runtime.settings import Config, HostConfig, NetworkRequest
from ferryman.store.images import Image, find, read_document
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, hold, reading


def create(
    store: Store,
    image_name: str,
    config: Config,
    host: HostConfig,
    *,
    name: str | None = None,
    networks_wanted: Mapping[str, NetworkRequest] | None = None,
    platform: Platform | None = None,
    storage: str = "",
    warn: Callable[[str], None] = lambda warning: None,
) -> Container:
    """Make a container of an image of the store and return its record.

    `config` is what the user says; what it leaves empty is the image's.  `warn` is called with what
    the user should know of settings that this machine cannot hold.  Raises ImageNotFound, Conflict
    (a name in use), StoreError, and what is wrong with settings, mounts and networks.
    """
    with hold(store) as lease:
        with reading(store):
            image = find(store, image_name, platform)
            lease.protect([image.digest, image.id, *(layer.id for layer in image.layers)])
            content = read_document(store, image.manifest.config)
        merged = merge.merged(configs.as_mapping(content, f"config of {image_name}"), config)
        merged, host, warnings = verify.verified(merged, host)
        for warning in warnings:
            warn(warning)
        container_id = os.urandom(32).hex()
        if not merged.hostname and host.uts_mode != "host" and host.network_mode != "host":
            merged = msgspec.structs.replace(merged, hostname=container_id[:12])
        merged = msgspec.structs.replace(merged, image=image_name)
        requested = networks.requested(store, host, networks_wanted or {})
        with mounts.resolved(store, merged, host) as points:
            container = Container(
                id=container_id,
                name=name or "",
                created=now(),
                image=image_name,
                image_id=str(image.id),
                manifest=image.manifest_descriptor,
                layers=_layers(image),
                config=merged,
                host_config=host,
                mounts=points,
                networks=requested,
                storage=storage,
            )
            return _kept(store, lease, container, image)


def _layers(image: Image) -> list[Layer]:
    return [
        Layer(layer.digest, layer.size, diff_id)
        for layer, diff_id in zip(image.layers, image.config.diff_ids, strict=True)
    ]


def _kept(store: Store, lease: Lease, container: Container, image: Image) -> Container:
    """Give the record its place, and the container its name."""
    with record.names_locked(store):
        wanted = container.name or made_up({each.name for each in record.every(store)})
        record.check_name(store, wanted)
        container = msgspec.structs.replace(container, name=wanted)
        record.add(lease, container, State(), image.target)
    return container
