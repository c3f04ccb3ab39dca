"""The store as a whole: what it takes, what could go."""

import os
from collections.abc import Collection
from typing import NamedTuple

from ferryman.image.digest import Digest
from ferryman.image.reference import Reference
from ferryman.operations import mountable
from ferryman.operations.container_listing import Row, listed
from ferryman.operations.container_size import written
from ferryman.runtime import record, volumes
from ferryman.runtime.volumes import Volume
from ferryman.store import below, build_cache, collect, images
from ferryman.store.images import Image, all_images, referenced
from ferryman.store.layout import Store
from ferryman.store.lease import reading


class ImageUsage(NamedTuple):
    """What one image takes, in bytes on disk: with others, and alone."""

    image: Image
    names: tuple[Reference, ...]
    size: int
    shared: int
    unique: int
    uncompressed: int
    containers: int
    """How many containers stand on it."""


class ContainerUsage(NamedTuple):
    """What one container has written, in bytes."""

    row: Row
    size: int


class VolumeUsage(NamedTuple):
    """What one volume holds, in bytes, and how many containers use it."""

    volume: Volume
    size: int
    links: int


class Total(NamedTuple):
    """What all things of a kind take, in bytes on disk."""

    number: int
    active: int
    """How many of them are in use."""
    size: int
    reclaimable: int
    """What would be freed if all went that are not in use."""


class Usage(NamedTuple):
    """What the store takes, kind by kind."""

    images: Total
    """All blobs that images need, each counted once."""
    containers: Total
    volumes: Total
    layers: Total
    """What has been made of layers so that they can be mounted."""
    build_cache: Total
    """What the steps of builds have left that no image needs, and cache mounts."""
    garbage: int
    """Bytes of blobs that nothing needs; the next prune removes them."""
    each_image: tuple[ImageUsage, ...]
    each_container: tuple[ContainerUsage, ...]
    each_volume: tuple[VolumeUsage, ...]


def usage(store: Store) -> Usage:
    """Return what each thing and the store as a whole take on disk; raises StoreError."""
    containers = tuple(
        ContainerUsage(row, written(store, row[0])) for row in listed(store, every=True)
    )
    used_volumes = _volumes(store)
    users: dict[str, int] = {}
    for each in containers:
        image_id = each.row.container.image_id
        users[image_id] = users.get(image_id, 0) + 1
    with reading(store):
        rows, total = _images(store, users)
        garbage = collect.garbage(store)
    return Usage(
        images=total,
        containers=_total([(each.row.state.up, each.size) for each in containers]),
        volumes=_total([(each.links > 0, each.size) for each in used_volumes]),
        layers=_layers(store),
        build_cache=_build_cache(store),
        garbage=sum(garbage.values()),
        each_image=rows,
        each_container=containers,
        each_volume=used_volumes,
    )


def _total(each: Collection[tuple[bool, int]]) -> Total:
    return Total(
        number=len(each),
        active=sum(active for active, _ in each),
        size=sum(size for _, size in each),
        reclaimable=sum(size for active, size in each if not active),
    )


def _images(store: Store, users: dict[str, int]) -> tuple[tuple[ImageUsage, ...], Total]:
    found = all_images(store)
    needs = [{blob.id: blob.size for blob in referenced(store, i.target)} for i in found]
    owners: dict[Digest, int] = {}
    for need in needs:
        for digest in need:
            owners[digest] = owners.get(digest, 0) + 1
    rows = tuple(
        ImageUsage(
            image=image,
            names=image.names,
            size=sum(need.values()),
            shared=sum(size for digest, size in need.items() if owners[digest] > 1),
            unique=sum(size for digest, size in need.items() if owners[digest] == 1),
            uncompressed=images.size(store, image),
            containers=users.get(str(image.id), 0),
        )
        for image, need in zip(found, needs, strict=True)
    )
    pinned = {target.id for target in collect.pinned(store)}
    active = [image.digest in pinned for image in found]
    kept = {d for used, need in zip(active, needs, strict=True) if used for d in need}
    blobs = {digest: size for need in needs for digest, size in need.items()}
    reclaimable = sum(size for digest, size in blobs.items() if digest not in kept)
    return rows, Total(len(found), sum(active), sum(blobs.values()), reclaimable)


def _volumes(store: Store) -> tuple[VolumeUsage, ...]:
    users = volumes.users(store)
    return tuple(
        VolumeUsage(
            volume,
            below.size(volumes.data(store, volume.name)),
            len(users.get(volume.name, ())),
        )
        for volume in volumes.every(store)
        # As in docker: what lies elsewhere is not the store's to count.
        if not volume.options
    )


def _build_cache(store: Store) -> Total:
    with reading(store):
        found = all_images(store)
        needed = {blob.id for image in found for blob in referenced(store, image.target)}
        steps = list(build_cache.layers(store))
    alone = {layer.id: layer.size for layer in steps if layer.id not in needed}
    size = sum(alone.values()) + below.size(build_cache.mounts(store))
    return Total(len(steps), 0, size, size)


def _layers(store: Store) -> Total:
    try:
        there = [f"sha256:{name}" for name in os.listdir(store.layers)]
    except FileNotFoundError:
        there = []
    used = {layer.diff_id for each in record.every(store) for layer in each.layers}
    unused = set(mountable.unused(store))
    sizes = {diff_id: mountable.size(store, diff_id) for diff_id in there}
    return Total(
        number=len(sizes),
        active=len(sizes.keys() & used),
        size=sum(sizes.values()),
        reclaimable=sum(size for diff_id, size in sizes.items() if diff_id in unused),
    )
