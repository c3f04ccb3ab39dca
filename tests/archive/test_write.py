import io
import json
import os
import random
import tarfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.archives import IMAGE_NAME, REF_NAME
from tests.images import sha256

from ferryman.archive import compression, write
from ferryman.archive.stream import BytesStream
from ferryman.archive.write import CompressedSink, FileSink, PipeSink, Saved, Sink
from ferryman.errors import StoreError
from ferryman.image.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor
from ferryman.image.reference import parse
from ferryman.store import blobs
from ferryman.store.lease import Lease

LARGE = random.Random(1).randbytes(9 << 20)


def put(lease: Lease, content: bytes, media_type: str, algorithm: str = "sha256") -> Descriptor:
    return Descriptor(media_type, blobs.put(lease, content, algorithm), len(content))


def saved(lease: Lease, *names: str, layers: Sequence[bytes] = (b"low", LARGE)) -> Saved:
    """Return an image as it is to be saved; what is in its blobs is of no account here."""
    config = put(lease, b"config of " + " ".join(names).encode(), OCI_CONFIG)
    stored = tuple(put(lease, layer, OCI_LAYER) for layer in layers)
    target = put(lease, b"manifest of " + config.digest.encode(), OCI_MANIFEST)
    references = tuple(parse(name) for name in names)
    return Saved(target, references, (target, config, *stored), config, stored)


@pytest.fixture
def two(lease: Lease) -> list[Saved]:
    """Two images that share a layer, one of them with names."""
    return [
        saved(lease, "one:1", "quay.io/one:2"),
        saved(lease, layers=(b"low", b"another", b"low")),
    ]


def silent(_: object, __: int) -> None:
    return


def to_file(lease: Lease, images: list[Saved], form: str) -> bytes:
    fd = os.memfd_create("archive")
    write.write(lease.store, images, form, FileSink(fd), silent)
    return content_of(fd)


def content_of(fd: int) -> bytes:
    with open(fd, "rb") as f:
        f.seek(0)
        return f.read()


def contents(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {
            each.name: (opened.extractfile(each) or io.BytesIO()).read()
            for each in opened
            if each.isfile()
        }


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_all_that_is_needed_each_once(form: str, two: list[Saved], lease: Lease) -> None:
    parts = contents(to_file(lease, two, form))
    assert json.loads(parts["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    needed = {blob.digest for image in two for blob in image.blobs}
    assert {name for name in parts if name.startswith("blobs/")} == {
        f"blobs/sha256/{digest[7:]}" for digest in needed
    }
    for name, content in parts.items():
        if name.startswith("blobs/"):
            assert sha256(content)[7:] == name.rpartition("/")[2]
    others = {"manifest.json", "repositories"} if form == "docker" else set()
    assert set(parts) - {f"blobs/sha256/{d[7:]}" for d in needed} == {
        "oci-layout",
        "index.json",
        *others,
    }


def index(archive: bytes) -> list[dict[str, Any]]:
    said = json.loads(contents(archive)["index.json"])
    assert said["schemaVersion"] == 2
    listed = said["manifests"]
    assert isinstance(listed, list)
    return listed


def test_the_index_has_a_line_for_each_name(two: list[Saved], lease: Lease) -> None:
    for form, refs in (("docker", ["1", "2"]), ("oci", None)):
        lines = index(to_file(lease, two, form))
        names = ["docker.io/library/one:1", "quay.io/one:2"]
        assert [line.get("annotations") for line in lines] == [
            {IMAGE_NAME: name, REF_NAME: ref}
            for name, ref in zip(names, refs or names, strict=True)
        ] + [None]
        assert [line["digest"] for line in lines] == [
            two[0].target.digest,
            two[0].target.digest,
            two[1].target.digest,
        ]


def test_what_docker_reads(two: list[Saved], lease: Lease) -> None:
    parts = contents(to_file(lease, two, "docker"))
    first, second = json.loads(parts["manifest.json"])
    assert first["RepoTags"] == ["one:1", "quay.io/one:2"]
    assert first["Config"] == f"blobs/sha256/{two[0].config.digest[7:]}"
    assert first["Layers"] == [f"blobs/sha256/{layer.digest[7:]}" for layer in two[0].layers]
    # docker takes a missing list for an empty one, and podman too.
    assert "RepoTags" not in second
    assert len(second["Layers"]) == 3
    top = two[0].layers[-1].digest[7:]
    assert json.loads(parts["repositories"]) == {"one": {"1": top}, "quay.io/one": {"2": top}}


def test_no_repositories_without_a_name(lease: Lease) -> None:
    assert "repositories" not in contents(to_file(lease, [saved(lease)], "docker"))


def test_the_documents_come_first(two: list[Saved], lease: Lease) -> None:
    with tarfile.open(fileobj=io.BytesIO(to_file(lease, two, "docker"))) as archive:
        members = archive.getmembers()
    assert [member.name for member in members[:6]] == [
        "oci-layout",
        "index.json",
        "manifest.json",
        "repositories",
        "blobs",
        "blobs/sha256",
    ]
    assert [m.name for m in members[6:]] == sorted(m.name for m in members[6:])
    # Nothing of the time, the user or the machine is in it.
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
        assert member.mode == (0o755 if member.isdir() else 0o644)


def test_blobs_of_another_algorithm(lease: Lease) -> None:
    layer = put(lease, b"layer", OCI_LAYER, "sha512")
    image = saved(lease, "one:1")
    image = image._replace(blobs=(*image.blobs, layer))
    parts = contents(to_file(lease, [image], "oci"))
    assert parts[f"blobs/sha512/{layer.digest[7:]}"] == b"layer"


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_the_same_bytes_every_time(form: str, two: list[Saved], lease: Lease) -> None:
    once = to_file(lease, two, form)
    assert to_file(lease, two, form) == once
    assert write.length(two, form) == len(once)
    assert len(once) % 512 == 0


def to_pipe(make: Callable[[int], Sink], lease: Lease, images: list[Saved]) -> bytes:
    reading, writing = os.pipe()
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(open(reading, "rb").read()))
    reader.start()
    write.write(lease.store, images, "docker", make(writing), silent)
    os.close(writing)
    reader.join()
    return got[0]


def test_every_sink_gets_the_same(two: list[Saved], lease: Lease, tmp_path: Path) -> None:
    expected = to_file(lease, two, "docker")
    assert to_pipe(PipeSink, lease, two) == expected

    # An output that is appended to, and one on another filesystem: the kernel copies neither.
    path = tmp_path / "appended"
    path.write_bytes(b"before")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    write.write(lease.store, two, "docker", FileSink(fd), silent)
    os.close(fd)
    assert path.read_bytes() == b"before" + expected

    for name in ("gzip", "zstd"):
        fd = os.memfd_create("archive")
        packer = compression.compressor(fd, name, None, 2)
        write.write(lease.store, two, "docker", CompressedSink(packer), silent)
        packer.close()
        stream = compression.decompressed(BytesStream(content_of(fd)), name, "it")
        assert stream.read(len(expected) + 1) == expected


def test_each_piece_of_each_blob_is_told(two: list[Saved], lease: Lease) -> None:
    done: dict[str, int] = {}

    def advance(digest: str, n: int) -> None:
        done[digest] = done.get(digest, 0) + n

    fd = os.memfd_create("archive")
    write.write(lease.store, two, "oci", FileSink(fd), advance)
    os.close(fd)
    assert done == {blob.digest: blob.size for image in two for blob in image.blobs}


@pytest.mark.parametrize("cut", [0, 100])
def test_a_blob_that_is_not_whole(cut: int, two: list[Saved], lease: Lease) -> None:
    digest = two[0].layers[1].id
    os.truncate(lease.store.blob(digest), cut)
    with pytest.raises(StoreError, match=rf"has {cut} bytes instead of {len(LARGE)}: run `ferry"):
        to_file(lease, two, "docker")
    os.unlink(lease.store.blob(digest))
    with pytest.raises(StoreError, match="No such file or directory"):
        to_file(lease, two, "docker")


@pytest.mark.parametrize("sink", [FileSink, PipeSink])
def test_a_blob_that_becomes_shorter_meanwhile(
    sink: Callable[[int], Sink], lease: Lease, tmp_path: Path
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"short")
    blob, out = os.open(path, os.O_RDONLY), os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(StoreError, match="a blob has become shorter while it was read"):
        sink(out).copy(blob, 100, lambda n: None)
    os.close(blob)
    os.close(out)


def test_a_full_disk() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    for sink in (FileSink(fd), PipeSink(fd)):
        with pytest.raises(OSError, match="No space left"):
            sink.write(b"content")
    os.close(fd)
