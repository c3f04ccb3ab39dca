"""The forms that tools give an archive, each by one call; the images in it are `tests.images`'.

As there, an archive is a mapping until `packed` makes a tar of it or `unpacked` a folder; beside
contents it may hold links.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from ferryman.archive.source import TarSource
from ferryman.image.reference import parse
from tests import images
from tests.images import Made, compressed, named, put_image, sha256

IMAGE_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"


class Link(NamedTuple):
    """A symbolic link within an archive, or a hard one."""

    target: str
    hard: bool = False


Members = dict[str, bytes | Link]


def hex_of(content: bytes) -> str:
    return sha256(content)[7:]


def entry(config: str, image: Made, layers: list[str]) -> dict[str, Any]:
    """Return what ``manifest.json`` says of an image."""
    return {"Config": config, "RepoTags": list(image.names) or None, "Layers": layers}


def as_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def docker_before_25(*archived: Made) -> Members:
    """A folder a layer, with files for docker before 1.10; the same layer again is a link."""
    parts: Members = {}
    manifest, tops = [], dict[str, dict[str, str]]()
    for image in archived:
        names, parent, places = [], "", dict[bytes, str]()
        for layer in image.layers:
            folder = hex_of((parent + hex_of(layer)).encode())
            parts[f"{folder}/VERSION"] = b"1.0"
            parts[f"{folder}/json"] = as_json({"id": folder, "parent": parent})
            name = f"{folder}/layer.tar"
            parts[name] = Link(f"../{places[layer]}") if layer in places else layer
            places.setdefault(layer, name)
            names.append(name)
            parent = folder
        config = f"{image.id[7:]}.json"
        parts[config] = image.config
        manifest.append(entry(config, image, names))
        for name in image.names:
            repository, _, tag = name.rpartition(":")
            tops.setdefault(repository, {})[tag] = parent
    return parts | {"manifest.json": as_json(manifest), "repositories": as_json(tops)}


def docker_25(*archived: Made, compression: str = "none") -> Members:
    """An image layout and a ``manifest.json`` at once; so writes BuildKit, too, compressed."""
    parts: images.Parts = {}
    targets, manifest = [], []
    for image in archived:
        target = put_image(parts, image, compression)
        for name in image.names:
            whole = parse(name)
            annotations = {IMAGE_NAME: whole.canonical, REF_NAME: whole.tag}
            targets.append(target | {"annotations": annotations})
        targets += [] if image.names else [target]
        layers = [f"blobs/sha256/{hex_of(compressed(x, compression))}" for x in image.layers]
        manifest.append(entry(f"blobs/sha256/{image.id[7:]}", image, layers))
    return {
        **parts,
        "index.json": images.index(*targets),
        "manifest.json": as_json(manifest),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    }


def podman(*archived: Made) -> Members:
    """Layers at the top, links to them where old docker looked for them."""
    parts: Members = {}
    manifest = []
    for image in archived:
        names = [f"{hex_of(layer)}.tar" for layer in image.layers]
        for name, layer in zip(names, image.layers, strict=True):
            parts[name] = layer
            folder = hex_of(name.encode())
            parts[f"{folder}/VERSION"] = b"1.0"
            parts[f"{folder}/layer.tar"] = Link(f"../{name}")
        config = f"{image.id[7:]}.json"
        parts[config] = image.config
        manifest.append(entry(config, image, names))
    return parts | {"manifest.json": as_json(manifest)}


def kaniko(*archived: Made) -> Members:
    """Compressed layers named by what they are compressed, the config by its digest; so crane."""
    parts: Members = {}
    manifest = []
    for image in archived:
        layers = [gzip.compress(layer, mtime=0) for layer in image.layers]
        names = [f"{hex_of(layer)}.tar.gz" for layer in layers]
        parts |= {image.id: image.config} | dict(zip(names, layers, strict=True))
        manifest.append(entry(image.id, image, names))
    return parts | {"manifest.json": as_json(manifest)}


def jib(*archived: Made) -> Members:
    """Names that say nothing, and one config alone."""
    (image,) = archived
    layers = [gzip.compress(layer, mtime=0) for layer in image.layers]
    names = [f"{hex_of(layer)}.tar.gz" for layer in layers]
    manifest = as_json([entry("config.json", image, names)])
    return {
        **dict(zip(names, layers, strict=True)),
        "config.json": image.config,
        "manifest.json": manifest,
    }


def bazel(*archived: Made) -> Members:
    """Layers that images share are hard links."""
    parts: Members = {}
    manifest, places = [], dict[bytes, str]()
    for image in archived:
        names = []
        for number, layer in enumerate(image.layers):
            name = f"{image.id[7:]}/{number}.tar"
            parts[name] = Link(places[layer], hard=True) if layer in places else layer
            places.setdefault(layer, name)
            names.append(name)
        parts[f"{image.id[7:]}.json"] = image.config
        manifest.append(entry(f"{image.id[7:]}.json", image, names))
    return parts | {"manifest.json": as_json(manifest)}


def nix(*archived: Made) -> Members:
    """All names begin with a dot, as in a tar of a folder."""
    return {f"./{name}": part for name, part in images.docker_archive(*archived).items()}


def skopeo(*archived: Made) -> Members:
    """An image layout in which the annotation of the specification has the whole name."""
    parts: images.Parts = {}
    targets: list[Mapping[str, Any]] = []
    for image in archived:
        target = put_image(parts, image, "gzip")
        targets += [target | {"annotations": {REF_NAME: name}} for name in image.names] or [target]
    return {
        **parts,
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": images.index(*targets),
    }


def oci(*archived: Made, compression: str = "none") -> Members:
    return {**images.layout(*archived, compression=compression)}


def platforms(name: str, *archived: Made) -> Members:
    """An image layout with one name for an index of images, one a platform, and what signs them."""
    parts: images.Parts = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    children: list[Mapping[str, Any]] = []
    for image in archived:
        said = json.loads(image.config)
        platform = {key: said[key] for key in ("os", "architecture", "variant") if key in said}
        children.append(put_image(parts, image, "gzip") | {"platform": platform})
    inner = images.put_index(parts, *children[1:])
    outer = images.put_index(parts, *children[:1], inner)
    return {**parts, "index.json": images.index(named(outer, name))}


FORMS: dict[str, Callable[..., Members]] = {
    "docker before 25": docker_before_25,
    "docker 25": docker_25,
    "buildkit": lambda *archived: docker_25(*archived, compression="gzip"),
    "podman": podman,
    "kaniko": kaniko,
    "bazel": bazel,
    "nix": nix,
    "skopeo": skopeo,
    "oci": oci,
    "oci gzip": lambda *archived: oci(*archived, compression="gzip"),
    "oci zstd": lambda *archived: oci(*archived, compression="zstd"),
}

WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda content: content,
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda content: zstandard.ZstdCompressor(write_checksum=True).compress(content),
}


def packed(parts: Mapping[str, bytes | Link], compression: str = "none") -> bytes:
    """Return the archive as a tar, compressed as a whole."""
    return WHOLE[compression](images.tar_of(*(member(*part) for part in parts.items())))


def member(name: str, part: bytes | Link) -> tuple[tarfile.TarInfo, bytes]:
    if isinstance(part, bytes):
        return images.member(name, part)
    kind = tarfile.LNKTYPE if part.hard else tarfile.SYMTYPE
    return images.member(name, type=kind, linkname=part.target)


def unpacked(parts: Mapping[str, bytes | Link], path: Path) -> Path:
    """Write the archive to a folder."""
    for name, part in parts.items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(part, bytes):
            place.write_bytes(part)
        elif part.hard:
            os.link(path / part.target, place)
        else:
            place.symlink_to(part.target)
    return path


def names_in(archive: bytes) -> list[str]:
    """Return the names of all files in a tar."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [each.name for each in opened if each.isfile()]


def source(parts: Mapping[str, bytes | Link]) -> TarSource:
    """Return the archive as it is read from a file that has no name."""
    fd = os.memfd_create("archive")
    with open(fd, "wb", closefd=False) as out:
        out.write(packed(parts))
    return TarSource(fd, "it")
