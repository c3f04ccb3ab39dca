import bz2
import gzip
import hashlib
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ferryman.archive import intake
from ferryman.archive.intake import Taken
from ferryman.archive.stream import CHUNK, BytesStream
from ferryman.errors import InvalidArchive, StoreError
from ferryman.image import digest
from ferryman.store.lease import Lease

SIZES = [0, 1, 511, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7, 12 << 20]


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def written(taken: Taken) -> bytes:
    return Path(taken.path).read_bytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["sized", "to its end"])
def test_taken_as_it_is(size: int, known: bool, lease: Lease) -> None:
    content = content_of(size)
    pieces: list[int] = []
    seen: list[bytes] = []
    taken = intake.take(
        BytesStream(content + (b"behind" if known else b"")),
        size if known else None,
        lease,
        "it",
        advance=pieces.append,
        watch=lambda piece: seen.append(bytes(piece)),
    )
    assert (taken.digest, taken.size) == (digest.of(content), size)
    assert written(taken) == content == b"".join(seen)
    assert sum(pieces) == size


@pytest.mark.parametrize("size", SIZES)
def test_a_plain_layer_is_its_own_diff_id(size: int, lease: Lease) -> None:
    content = content_of(size)
    taken = intake.take_layer(BytesStream(content), size, lease, "it")
    assert written(taken) == content
    assert taken.digest == taken.diff_id == digest.of(content)
    assert (taken.compression, taken.size, taken.uncompressed_size) == ("none", size, size)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, 1),
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", COMPRESS)
def test_a_compressed_layer_stays_as_it_is(form: str, size: int, lease: Lease) -> None:
    content = content_of(size)
    packed = COMPRESS[form](content)
    pieces: list[int] = []
    taken = intake.take_layer(BytesStream(packed), len(packed), lease, "it", advance=pieces.append)
    assert written(taken) == packed
    assert (taken.digest, taken.size) == (digest.of(packed), len(packed))
    assert (taken.diff_id, taken.uncompressed_size) == (digest.of(content), size)
    assert taken.compression == form
    assert sum(pieces) == len(packed)


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress])
def test_a_layer_without_a_media_type_is_unpacked(
    compress: Callable[[bytes], bytes], lease: Lease
) -> None:
    content = content_of(3 << 20)
    packed = compress(content)
    taken = intake.take_layer(BytesStream(packed), len(packed), lease, "it")
    assert written(taken) == content
    assert taken.digest == taken.diff_id == digest.of(content)
    assert (taken.compression, taken.size) == ("none", len(content))


@pytest.mark.parametrize("form", ["none", "gzip", "zstd"])
def test_by_sha512(form: str, lease: Lease) -> None:
    content = content_of(2 << 20)
    packed = COMPRESS[form](content) if form != "none" else content
    taken = intake.take_layer(BytesStream(packed), len(packed), lease, "it", algorithm="sha512")
    assert taken.digest == f"sha512:{hashlib.sha512(packed).hexdigest()}"
    assert taken.diff_id == digest.of(content)
    assert written(taken) == packed


@pytest.mark.parametrize("size", [1, CHUNK, 3 * CHUNK])
def test_less_than_was_said(size: int, lease: Lease) -> None:
    content = content_of(size)
    words = f"it is truncated: {size} of {size + 1} bytes are there"
    with pytest.raises(InvalidArchive, match=words):
        intake.take(BytesStream(content), size + 1, lease, "it")
    with pytest.raises(InvalidArchive, match=words):
        intake.take_layer(BytesStream(content), size + 1, lease, "it")
    for compress in COMPRESS.values():
        packed = compress(content)
        with pytest.raises(InvalidArchive, match=r"is truncated: .* bytes are there"):
            intake.take_layer(BytesStream(packed), len(packed) + 1, lease, "it")
        with pytest.raises(InvalidArchive, match="damaged or truncated"):
            intake.take_layer(BytesStream(packed[:-1]), len(packed) - 1, lease, "it")


def test_a_size_beyond_the_disk_is_refused_unread(lease: Lease) -> None:
    for form in (b"", b"\x1f\x8b\x08\0\0\0", b"BZh911", b"\x28\xb5\x2f\xfd\0\0"):
        with pytest.raises(StoreError, match=r"no room for it in the store .*: it says it has"):
            intake.take_layer(BytesStream(form), 2**62, lease, "it")
    assert os.listdir(lease.folder) == []


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, bz2.compress])
def test_a_layer_that_unpacks_to_more_than_the_disk(
    compress: Callable[[bytes], bytes], lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = compress(bytes(20 << 20))
    monkeypatch.setattr(intake, "free_space", lambda store: 10 << 20)
    with pytest.raises(StoreError, match=f"it unpacks to more than the {10 << 20} bytes"):
        intake.take_layer(BytesStream(packed), len(packed), lease, "it")


def test_what_stops_the_work_comes_through(lease: Lease) -> None:
    def stop(_: int) -> None:
        raise InvalidArchive("stop")

    content = content_of(8 * CHUNK)
    for packed in (content, gzip.compress(content, 1), content[:10]):
        with pytest.raises(InvalidArchive, match="stop"):
            intake.take_layer(BytesStream(packed), len(packed), lease, "it", advance=stop)


def test_where_it_cannot_be_written(lease: Lease) -> None:
    os.rmdir(lease.folder)
    content = content_of(1000)
    words = r"cannot write it to the store .*: No such file or directory"
    for packed in (content, gzip.compress(content)):
        with pytest.raises(StoreError, match=words):
            intake.take_layer(BytesStream(packed), len(packed), lease, "it")
    os.mkdir(lease.folder)
