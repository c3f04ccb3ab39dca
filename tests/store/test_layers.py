import os
from pathlib import Path

import pytest

from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.store import blobs, layers
from ferryman.store.layers import Record
from ferryman.store.layout import Store
from ferryman.store.lease import hold

PLAIN = digests.of(b"the layer's tar")


@pytest.fixture
def compressed(here: Store) -> Digest:
    """A blob of which the store knows that it unpacks to PLAIN."""
    with hold(here) as lease:
        digest = blobs.put(lease, b"compressed")
        layers.record(lease, digest, PLAIN, 15)
    return digest


def test_what_was_recorded_is_known(here: Store, compressed: Digest) -> None:
    assert layers.lookup(here, compressed) == Record(PLAIN, 15)
    assert layers.uncompressed_size(here, compressed, 10) == 15
    assert layers.holding(here, PLAIN) == compressed
    assert layers.by_diff_id(here) == {PLAIN: compressed}


def test_a_plain_layer_needs_no_record(here: Store) -> None:
    assert layers.lookup(here, PLAIN) is None
    assert layers.by_diff_id(here) == {}
    assert layers.uncompressed_size(here, PLAIN, 15) == 15


def test_a_plain_blob_comes_before_a_compressed_one(here: Store, compressed: Digest) -> None:
    with hold(here) as lease:
        assert blobs.put(lease, b"the layer's tar") == PLAIN
    assert layers.holding(here, PLAIN) == PLAIN


def test_a_record_without_its_blob_holds_nothing(here: Store, compressed: Digest) -> None:
    os.unlink(here.blob(compressed))
    assert layers.holding(here, PLAIN) is None
    assert layers.by_diff_id(here) == {}


def test_nothing_is_held_of_what_was_never_here(here: Store, compressed: Digest) -> None:
    assert layers.holding(here, digests.of(b"another layer")) is None


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"diff_id":1,"size":"x"}', b"\xff"])
def test_a_damaged_record_is_none(here: Store, compressed: Digest, content: bytes) -> None:
    Path(here.layer_record(compressed)).write_bytes(content)
    assert layers.lookup(here, compressed) is None
    assert layers.uncompressed_size(here, compressed, 10) == 10
    assert layers.holding(here, PLAIN) is None


def test_strangers_among_the_records_are_passed_over(here: Store, compressed: Digest) -> None:
    records = Path(here.meta, "layers")
    (records / "file").touch()
    (records / "sha256/.swp").touch()
    (records / "md5").mkdir()
    assert layers.holding(here, PLAIN) == compressed


def test_a_sha512_blob_has_a_record_too(here: Store) -> None:
    with hold(here) as lease:
        digest = blobs.put(lease, b"compressed", "sha512")
        layers.record(lease, digest, PLAIN, 15)
    assert layers.holding(here, PLAIN) == digest
