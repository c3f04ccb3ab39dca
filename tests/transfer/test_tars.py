"""Layers' tars by their diff IDs, whichever way the store keeps them."""

import gzip
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.errors import FerryError, StoreError
from ferryman.image.digest import Digest
from ferryman.store.layout import Store, open_store
from ferryman.transfer import scratch
from ferryman.transfer.pressed import Source
from ferryman.transfer.tars import Tars
from tests import images
from tests.images import load_into, made, member, tar_of

LAYER = tar_of(member("large", os.urandom(3 << 20)), member("zeros", bytes(1 << 20)))
DIFF_ID = Digest(images.sha256(LAYER))


@pytest.fixture(params=["none", "gzip", "zstd"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def here(store: Path, form: str) -> Store:
    """A store with an image of one layer, in one form."""
    opened = open_store(str(store))
    load_into(opened, images.layout(made(LAYER, names=["app:1"]), compression=form))
    return opened


@pytest.fixture
def tars(here: Store) -> Iterator[Tars]:
    with Tars(here) as opened:
        yield opened


def blob(form: str) -> Digest:
    return Digest(images.sha256(images.compressed(LAYER, form)))


def read(source: Source, size: int, step: int = 1 << 20) -> bytes:
    """Read all of a source in order."""
    try:
        pieces = [source.read(at, min(step, size - at)) for at in range(0, size, step)]
        return b"".join(pieces)
    finally:
        source.close()


def spoil(here: Store, digest: Digest, at: int) -> None:
    path = Path(here.blob(digest))
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_known(tars: Tars, form: str) -> None:
    stored = tars.stored(DIFF_ID)
    assert stored
    assert (stored.blob, stored.compression) == (blob(form), form)
    assert tars.size(DIFF_ID) == tars.known_size(DIFF_ID) == len(LAYER)
    absent = Digest(images.sha256(b"absent"))
    assert tars.stored(absent) is None
    assert tars.known_size(absent) is None
    with pytest.raises(StoreError, match="missing"):
        tars.open(absent)
    with pytest.raises(StoreError, match="missing"):
        tars.source(absent)


def test_a_blob_is_no_tar(tars: Tars, form: str) -> None:
    """The digest of a compressed layer is none by which its tar is known."""
    if form != "none":
        assert tars.stored(blob(form)) is None


def test_opened_once(tars: Tars, form: str, here: Store) -> None:
    first, second = tars.open(DIFF_ID), tars.open(DIFF_ID)
    assert os.pread(first, len(LAYER) + 1, 0) == os.pread(second, len(LAYER) + 1, 0) == LAYER
    one, other = os.fstat(first), os.fstat(second)
    assert one.st_ino == other.st_ino
    assert (one.st_nlink == 0) == (form != "none")
    os.close(first)
    os.close(second)


@pytest.mark.parametrize("form", ["gzip", "zstd"], indirect=True)
@pytest.mark.parametrize("unpacked", [False, True])
def test_in_order(tars: Tars, form: str, unpacked: bool) -> None:
    if unpacked:
        os.close(tars.open(DIFF_ID))
    assert read(tars.source(DIFF_ID), len(LAYER)) == LAYER
    source = tars.source(DIFF_ID)
    assert source.read(1 << 20, 1000) == LAYER[1 << 20 : (1 << 20) + 1000]
    source.close()
    content = images.compressed(LAYER, form)
    assert read(tars.blob(DIFF_ID), len(content)) == content


def test_packed(tars: Tars, form: str) -> None:
    assert tars.packed(DIFF_ID) is None
    tars.add(DIFF_ID, blob(form))
    packed = tars.packed(DIFF_ID)
    assert (packed and packed.compression) == (None if form == "none" else form)
    tars.add(DIFF_ID, DIFF_ID)
    assert tars.packed(DIFF_ID) is None


def test_without_a_record(here: Store, form: str) -> None:
    """A layout that another tool wrote says nothing of what layers unpack to."""
    shutil.rmtree(f"{here.meta}/layers", ignore_errors=True)
    with Tars(here) as tars:
        tars.add(DIFF_ID, blob(form))
        assert tars.known_size(DIFF_ID) == (len(LAYER) if form == "none" else None)
        assert tars.size(DIFF_ID) == len(LAYER)
        if form != "none":
            assert read(tars.source(DIFF_ID), len(LAYER)) == LAYER


@pytest.mark.parametrize("form", ["gzip", "zstd"], indirect=True)
@pytest.mark.parametrize("place", [100, 1_000_000, -1])
def test_damaged(tars: Tars, form: str, here: Store, place: int) -> None:
    """Whatever is damaged, the last piece is not given out."""
    spoil(here, blob(form), place)
    stored = len(images.compressed(LAYER, form))
    given: list[bytes] = []

    def pieces(source: Source, size: int) -> None:
        try:
            for at in range(0, size, 1 << 16):
                given.append(source.read(at, min(1 << 16, size - at)))
        finally:
            source.close()

    with pytest.raises(StoreError, match="damaged: run `ferry system check --repair`"):
        pieces(tars.source(DIFF_ID), len(LAYER))
    assert len(b"".join(given)) < len(LAYER)
    given.clear()
    with pytest.raises(StoreError, match="damaged"):
        pieces(tars.blob(DIFF_ID), stored)
    assert len(b"".join(given)) < stored
    with pytest.raises(StoreError, match="damaged"):
        tars.open(DIFF_ID)


@pytest.mark.parametrize("form", ["gzip", "zstd"], indirect=True)
def test_larger_than_it_says(here: Store, form: str) -> None:
    """What unpacks to more than the record says is not unpacked any further."""
    record = Path(here.layer_record(blob(form)))
    record.write_text(f'{{"diff_id":"{DIFF_ID}","size":1000}}')
    with Tars(here) as tars, pytest.raises(StoreError, match="damaged"):
        tars.open(DIFF_ID)


def test_no_room(tars: Tars, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "room", lambda: len(LAYER))
    if form == "none":
        os.close(tars.open(DIFF_ID))
        return
    with pytest.raises(StoreError, match="no room"):
        tars.open(DIFF_ID)
    # In order it needs none.
    assert read(tars.source(DIFF_ID), len(LAYER)) == LAYER


def test_nothing_stays_open(tars: Tars, form: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    os.close(tars.open(DIFF_ID))
    tars.__exit__()
    assert len(os.listdir("/proc/self/fd")) == before


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=5000),
    kind=st.sampled_from(["gzip", "zstd"]),
    members=st.integers(1, 3),
    step=st.integers(1, 6000),
    data=st.data(),
)
def test_any_blob(content: bytes, kind: str, members: int, step: int, data: st.DataObject) -> None:
    """Members of any number make one tar; any bit of it that is wrong is found."""
    press = gzip.compress if kind == "gzip" else zstandard.compress
    cut = len(content) // members
    parts = [content[i * cut : (i + 1) * cut] for i in range(members - 1)]
    packed = b"".join(map(press, [*parts, content[len(b"".join(parts)) :]]))
    diff_id, digest = (Digest(f"sha256:{hashlib.sha256(c).hexdigest()}") for c in (content, packed))
    root = mkdtemp()
    try:
        here = open_store(f"{root}/store")
        flip = data.draw(st.none() | st.integers(0, 8 * len(packed) - 1))
        written = bytearray(packed)
        if flip is not None:
            written[flip // 8] ^= 1 << flip % 8
        Path(here.blob(digest)).write_bytes(written)
        with Tars(here) as tars:
            tars.add(diff_id, digest)
            try:
                found = read(tars.source(diff_id), tars.size(diff_id), step)
                assert found == content
                fd = tars.open(diff_id)
                assert os.pread(fd, len(content) + 1, 0) == content
                os.close(fd)
            except FerryError:
                assert flip is not None
    finally:
        shutil.rmtree(root)
