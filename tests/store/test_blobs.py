import hashlib
import os
from pathlib import Path

import pytest

from ferryman.errors import StoreError
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.store import blobs
from ferryman.store.layout import Store
from ferryman.store.lease import hold

CONTENT = b"content"
DIGEST = digests.of(CONTENT)
NOWHERE = digests.of(b"never stored")


def put(store: Store, content: bytes = CONTENT, algorithm: str = "sha256") -> Digest:
    with hold(store) as lease:
        digest = blobs.put(lease, content, algorithm)
    blobs.sync(store)
    return digest


def test_what_was_put_in_is_there_by_its_digest(here: Store) -> None:
    assert put(here) == DIGEST
    assert blobs.size(here, DIGEST) == len(CONTENT)
    assert blobs.read(here, DIGEST, 100) == CONTENT
    fd = blobs.open_blob(here, DIGEST)
    assert os.read(fd, 100) == CONTENT
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_where_it_lies_is_what_the_layout_says(here: Store, algorithm: str) -> None:
    assert (
        put(here, algorithm=algorithm)
        == f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    )
    path = Path(here.root, "image/blobs", algorithm, hashlib.new(algorithm, CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT


def test_to_put_what_is_there_changes_nothing(here: Store) -> None:
    put(here)
    before = os.stat(here.blob(DIGEST))
    put(here)
    assert os.stat(here.blob(DIGEST)) == before


def test_a_blob_of_the_wrong_size_is_put_right(here: Store) -> None:
    put(here)
    os.truncate(here.blob(DIGEST), 3)
    put(here)
    assert blobs.read(here, DIGEST, 100) == CONTENT


def test_nothing_unfinished_is_left(here: Store) -> None:
    put(here)
    assert os.listdir(here.tmp) == os.listdir(here.leases) == []


def test_what_is_not_there(here: Store) -> None:
    assert blobs.size(here, NOWHERE) is None
    for look in (lambda: blobs.open_blob(here, NOWHERE), lambda: blobs.read(here, NOWHERE, 100)):
        with pytest.raises(StoreError, match=NOWHERE):
            look()


def test_a_damaged_blob_is_not_read(here: Store) -> None:
    put(here)
    Path(here.blob(DIGEST)).write_bytes(CONTENT.upper())
    with pytest.raises(StoreError, match=f"blob {DIGEST} of .* is damaged: run"):
        blobs.read(here, DIGEST, 100)


def test_a_document_of_a_gigabyte_is_not_read(here: Store) -> None:
    put(here)
    os.truncate(here.blob(DIGEST), 1 << 30)
    with pytest.raises(StoreError, match="larger than the 100 bytes"):
        blobs.read(here, DIGEST, 100)


def test_present_passes_over_what_is_no_blob(here: Store) -> None:
    put(here)
    other = put(here, b"other", "sha512")
    strangers = ["sha256/README", "sha256/" + "0" * 63, "md5/" + "0" * 32, "file"]
    for name in strangers:
        path = Path(here.root, "image/blobs", name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert list(blobs.present(here)) == [DIGEST, other]
    blobs.sync(here)
    assert all(Path(here.root, "image/blobs", name).exists() for name in strangers)
