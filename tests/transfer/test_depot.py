"""Blobs on their way into a bucket; tests/peers/test_move_bucket.py has a real one."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferryman.errors import FerryError, StoreError
from ferryman.transfer.depot import Depot
from ferryman.transfer.line import Pace
from ferryman.transfer.pressed import FRAME, File, Pressed


class _Nowhere:
    what = "s3://nowhere"


@pytest.fixture
def depot() -> Iterator[Depot]:
    made = Depot(_Nowhere(), _none, Pace(None), lambda done, total: None)  # type: ignore[arg-type]
    yield made
    made.close()


def _none(*_: object) -> Pressed:
    raise AssertionError


def pressed(folder: Path, content: bytes, size: int) -> Pressed:
    path = folder / "blob"
    path.write_bytes(content)
    return Pressed(lambda: File(os.open(path, os.O_RDONLY)), size, "none")


def test_a_blob_flows(depot: Depot, tmp_path: Path) -> None:
    content = os.urandom(FRAME + 5)
    blob = pressed(tmp_path, content, len(content))
    gone: list[int] = []
    with depot._flowing(blob, gone) as stream:
        assert stream.read(len(content) + 1000) == content
    assert gone == [len(content)]
    # Who reads no further does not leave anybody waiting.
    before = threading.active_count()
    with depot._flowing(blob, gone) as stream:
        stream.read(10)
    assert threading.active_count() <= before
    blob.close()


def test_what_breaks_off_is_no_end(depot: Depot, tmp_path: Path) -> None:
    """Else a part of a blob would be taken for the whole."""
    content = os.urandom(FRAME + 5)
    blob = pressed(tmp_path, content, len(content) + 1)
    with depot._flowing(blob, []) as stream:
        with pytest.raises(StoreError, match="shorter"):
            stream.read(2 * len(content))
    blob.close()


def test_after_a_cut_nothing_flows(depot: Depot, tmp_path: Path) -> None:
    blob = pressed(tmp_path, b"content", 7)
    depot.cut()
    with depot._flowing(blob, []) as stream, pytest.raises(FerryError, match="interrupted"):
        stream.read(7)
    blob.close()
