"""Images made up by one call, in the forms that an archive may have.

An archive is a mapping of names to contents until `packed` makes a tar of it, or `unpacked` a
folder, so a test can spoil any part of it first.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from ferryman.operations.load import Loaded, load
from ferryman.store.layout import Store

CREATED = "2024-02-29T12:00:00Z"
Parts = dict[str, bytes]

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_NAME = "io.containerd.image.name"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of a tar; `fields` are TarInfo's."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    info.size = len(content)
    return info, content


def folder(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, **({"mode": 0o755} | fields))


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return a tar of these members, in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Made(NamedTuple):
    """An image: its config, its layers as plain tars (lowest first), and its names."""

    config: bytes
    layers: tuple[bytes, ...]
    names: tuple[str, ...]

    @property
    def id(self) -> str:
        return sha256(self.config)

    @property
    def diff_ids(self) -> list[str]:
        return [sha256(layer) for layer in self.layers]


def made(*layers: bytes, names: Sequence[str] = (), **config: Any) -> Made:
    """Return an image of these layers; `config` is put over what its config says by itself."""
    said = {
        "architecture": os.uname().machine.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "created": CREATED,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        "history": [{"created": CREATED, "created_by": f"ADD {i}"} for i in range(len(layers))],
    }
    return Made(json.dumps(said | config).encode(), layers, tuple(names))


def small(text: str, *names: str) -> Made:
    """Return an image of two layers: one that all small images share, and one of this text."""
    shared = tar_of(folder("etc"), member("etc/shared", b"the same in all"))
    return made(shared, tar_of(member("own", text.encode())), names=names)


def docker_archive(*images: Made) -> Parts:
    """Return what docker before version 25 writes: a folder a layer, and ``manifest.json``."""
    parts: Parts = {}
    manifest = []
    for image in images:
        config = f"{image.id[7:]}.json"
        layers = [f"{diff_id[7:]}/layer.tar" for diff_id in image.diff_ids]
        parts |= dict(zip(layers, image.layers, strict=True)) | {config: image.config}
        manifest.append({"Config": config, "RepoTags": list(image.names), "Layers": layers})
    return parts | {"manifest.json": json.dumps(manifest).encode()}


def layout(*images: Made, compression: str = "none") -> Parts:
    """Return an OCI image layout."""
    parts: Parts = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    manifests = []
    for image in images:
        target = put_image(parts, image, compression)
        names = [{"annotations": {_NAME: name}} for name in image.names] or [{}]
        manifests += [target | name for name in names]
    return parts | {"index.json": index(*manifests)}


def put_image(parts: Parts, image: Made, compression: str = "none") -> dict[str, Any]:
    """Put the blobs of an image to the parts of a layout; return its manifest's descriptor."""
    kind = _LAYER if compression == "none" else f"{_LAYER}+{compression}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": put(parts, image.config, _CONFIG),
        "layers": [put(parts, compressed(layer, compression), kind) for layer in image.layers],
    }
    return put(parts, json.dumps(manifest).encode(), _MANIFEST)


def put_index(parts: Parts, *descriptors: Mapping[str, Any]) -> dict[str, Any]:
    """Put an index of these to the parts of a layout; return its descriptor."""
    return put(parts, index(*descriptors), _INDEX)


def put(parts: Parts, content: bytes, media_type: str) -> dict[str, Any]:
    """Put a blob to the parts of a layout; return its descriptor."""
    digest = sha256(content)
    parts[f"blobs/{digest.replace(':', '/')}"] = content
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def index(*descriptors: Mapping[str, Any]) -> bytes:
    said = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": descriptors}
    return json.dumps(said).encode()


def named(descriptor: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a descriptor with a name, as containerd and docker write it."""
    return {**descriptor, "annotations": {_NAME: name}}


def compressed(content: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(content, mtime=0)
    if compression == "zstd":
        return zstandard.compress(content)
    return content


def packed(parts: Parts) -> bytes:
    """Return the archive as a tar."""
    return tar_of(*(member(name, content) for name, content in parts.items()))


def check_archive(archive: bytes, image: Made) -> None:
    """Check that an archive as `save` writes it has this image, and all that it says is true."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        parts = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    for name, content in parts.items():
        if name.startswith("blobs/"):
            assert sha256(content) == name.removeprefix("blobs/").replace("/", ":")
    (entry,) = json.loads(parts["manifest.json"])
    assert parts[entry["Config"]] == image.config
    assert entry["RepoTags"] == list(image.names)
    assert [plain(parts[name]) for name in entry["Layers"]] == list(image.layers)
    (target,) = json.loads(parts["index.json"])["manifests"]
    manifest = json.loads(parts[f"blobs/{target['digest'].replace(':', '/')}"])
    assert manifest["config"]["digest"] == image.id
    assert [f"blobs/{d['digest'].replace(':', '/')}" for d in manifest["layers"]] == entry["Layers"]


def plain(content: bytes) -> bytes:
    """Return a layer uncompressed."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return content


def unpacked(parts: Parts, path: Path) -> Path:
    """Write the archive to a folder."""
    for name, content in parts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def load_into(store: Store, parts: Parts, **how: Any) -> list[Loaded]:
    """Load an archive in this process, without a file of a name."""
    fd = os.memfd_create("archive")
    try:
        with open(fd, "wb", closefd=False) as f:
            f.write(packed(parts))
        os.lseek(fd, 0, os.SEEK_SET)
        return load(store, fd, "archive", **how)
    finally:
        os.close(fd)
