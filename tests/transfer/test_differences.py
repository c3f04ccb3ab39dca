"""Which layers differences are made of, and that compressed ones do as well as plain ones."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferryman.image.digest import Digest
from ferryman.store.layout import Store, open_store
from ferryman.transfer import scratch
from ferryman.transfer.delta import undo
from ferryman.transfer.differences import Difference, Differences
from ferryman.transfer.tars import Tars
from tests import images
from tests.images import load_into, made, member, tar_of

CONTENT = random.Random(1).randbytes(1 << 20)
OLD = tar_of(member("large", CONTENT), member("version", b"1"))
NEW = tar_of(
    member("large", CONTENT[7:1000] + b"changed" + CONTENT[1000:]), member("version", b"2")
)
OTHERS = [tar_of(member(f"other{i}", random.Random(i).randbytes(200_000))) for i in range(2, 14)]
SMALL = tar_of(member("large", b"small"))


def diff_id(layer: bytes) -> Digest:
    return Digest(images.sha256(layer))


@pytest.fixture(params=["none", "gzip", "zstd"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def here(store: Path, form: str) -> Store:
    opened = open_store(str(store))
    image = made(OLD, NEW, SMALL, *OTHERS, names=["app:1"])
    load_into(opened, images.layout(image, compression=form))
    return opened


class Counting(Tars):
    """Tells which layers were opened."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.opened: list[Digest] = []

    def open(self, diff_id: Digest) -> int:
        self.opened.append(diff_id)
        return super().open(diff_id)


@pytest.fixture
def tars(here: Store) -> Iterator[Counting]:
    with Counting(here) as opened:
        yield opened


def undone(made: Difference, tars: Tars, path: Path) -> bytes:
    """Return what a delta makes."""

    def find(digest: str) -> undo.Region:
        fd = tars.open(Digest(digest))
        return undo.Region(fd, 0, os.fstat(fd).st_size)

    (path / "delta").write_bytes(os.pread(made.fd, made.size, 0))
    with (path / "delta").open("rb") as file, (path / "out").open("wb") as out:
        undo.undo(file, find, out.write)
    return (path / "out").read_bytes()


def best(
    differences: Differences, target: Digest, there: list[Digest], compressions: list[str]
) -> Difference | None:
    return differences.made(target, differences.bases(target, there), compressions)


def test_made_of_what_is_compressed(tars: Counting, tmp_path: Path) -> None:
    with Differences(tars) as differences:
        found = best(differences, diff_id(NEW), [diff_id(OLD)], ["zlib"])
        assert found
        assert found.size < 10_000
        assert (found.result, found.bases) == (diff_id(NEW), (diff_id(OLD),))
        assert undone(found, tars, tmp_path) == NEW
        # Once, for all hosts.
        assert best(differences, diff_id(NEW), [diff_id(OLD)], ["zlib"]) is found


def test_few_are_unpacked(tars: Counting, form: str) -> None:
    """Of those that are compressed only the likeliest are looked at, and none that is too small."""
    there = [diff_id(each) for each in (SMALL, *OTHERS, OLD)]
    with Differences(tars) as differences:
        found = best(differences, diff_id(NEW), there, ["zlib"])
        assert bool(found) == (form == "none")
        assert diff_id(SMALL) not in tars.opened
        assert len(set(tars.opened)) == (len(there) if form == "none" else 7)
        assert best(differences, diff_id(NEW), there[::-1], ["zlib"])


def test_no_more_are_unpacked_than_are_needed(tars: Counting, form: str) -> None:
    there = [diff_id(each) for each in (OLD, *OTHERS)]
    with Differences(tars) as differences:
        found = best(differences, diff_id(NEW), there, ["zlib"])
    assert found
    assert found.bases == (diff_id(OLD),)
    assert len(set(tars.opened)) == (len(there) + 1 if form == "none" else 2)


def test_nothing_is_unpacked_without_a_base(tars: Counting) -> None:
    """Neither for layers that are not here, nor for the layer itself."""
    absent = [diff_id(NEW), diff_id(SMALL), diff_id(b"absent")]
    with Differences(tars) as differences:
        assert best(differences, diff_id(NEW), absent, ["zlib"]) is None
        assert best(differences, diff_id(b"absent"), [diff_id(OLD)], ["zlib"]) is None
        assert best(differences, diff_id(SMALL), [diff_id(OLD)], ["zlib"]) is None
        assert tars.opened == []


def test_without_room(tars: Counting, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole layers go then, which need none."""
    monkeypatch.setattr(scratch, "room", lambda: len(NEW))
    with Differences(tars) as differences:
        found = best(differences, diff_id(NEW), [diff_id(OLD)], ["zlib"])
        assert bool(found) == (form == "none")


@pytest.mark.parametrize("form", ["gzip", "zstd"], indirect=True)
def test_a_base_that_is_damaged(here: Store, form: str, tars: Counting) -> None:
    """It is as if it were not here: there is nothing wrong with what is to be sent."""
    path = Path(here.blob(Digest(images.sha256(images.compressed(OLD, form)))))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    with Differences(tars) as differences:
        assert best(differences, diff_id(NEW), [diff_id(OLD)], ["zlib"]) is None
