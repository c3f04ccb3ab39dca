"""Layers unpacked: what is in them comes out exactly, and never anywhere else."""

import os
import subprocess
from pathlib import Path

import pytest

from ferryman.errors import FerryError, InvalidArchive
from ferryman.rootfs.extract import extract
from tests.rootfs.layers import SPARSE_FORMS, Item, item, opened, sparse, write
from tests.rootfs.seen import Entry, seen

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="owners and devices take root")


def unpacked(folder: Path, *items: Item, user: bool = False) -> dict[bytes, Entry]:
    """Unpack a layer of these members within the folder; return what is there then."""
    layer = write(folder / "layer.tar", *items)
    into = folder / "into"
    into.mkdir()
    with opened(layer) as source:
        extract(source, str(into), user=user)
    return seen(into)


PIECES = {
    "nothing": (0, []),
    "hole": (1 << 30, []),
    "full": (3, [(0, b"abc")]),
    "end": (70_000, [(4096, b"x" * 4096)]),
    "many": (100 << 20, [(n << 20, b"%512d" % n) for n in range(100)]),
}


@pytest.mark.parametrize("form", SPARSE_FORMS)
def test_sparse(tmp_path: Path, form: str) -> None:
    """Sparse files are what GNU tar makes of them, and as sparse."""
    items = [item(b"before", content=b"before")]
    for name, (size, pieces) in PIECES.items():
        items.append(sparse(form, name.encode(), size, pieces))
    items.append(item(b"after", content=b"after"))
    there = unpacked(tmp_path, *items)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    subprocess.run(["tar", "-C", theirs, "-xf", tmp_path / "layer.tar"], check=True)
    want = seen(theirs)
    assert there.keys() == want.keys()
    for path, entry in want.items():
        assert (there[path].what, there[path].size) == (entry.what, entry.size)
    assert sum(file.stat().st_blocks for file in (tmp_path / "into").iterdir()) < 2048


@pytest.mark.parametrize("form", SPARSE_FORMS)
def test_pieces_that_are_no_blocks(tmp_path: Path, form: str) -> None:
    pieces = [(0, b"abc"), (1000, b"d"), (1001, b"ef"), (2000, b"g")]
    unpacked(tmp_path, sparse(form, b"odd", 2001, pieces))
    content = bytearray(2001)
    for at, piece in pieces:
        content[at : at + len(piece)] = piece
    assert (tmp_path / "into/odd").read_bytes() == content


LIES = {
    "pieces that overlap": [0, 4, 2, 4],
    "pieces in disorder": [6, 4, 0, 4],
    "a piece behind the end": [0, 4, 98, 4],
    "more than there is": [0, 4, 10, 5],
    "less than there is": [0, 4, 10, 3],
    "a length without end": [0, 4, 10, 1 << 60],
    "a place without end": [0, 4, 1 << 60, 4],
}


@pytest.mark.parametrize("form", SPARSE_FORMS)
@pytest.mark.parametrize("lie", LIES)
def test_sparse_map_that_lies(tmp_path: Path, form: str, lie: str) -> None:
    liar = sparse(form, b"f", 100, [(0, b"abcd"), (10, b"efgh")], said=LIES[lie])
    with pytest.raises(InvalidArchive, match=r"the layer: the sparse map of '.*' does not fit"):
        unpacked(tmp_path, liar)


def test_half_a_piece(tmp_path: Path) -> None:
    liar = sparse("0.1", b"f", 100, [(0, b"abcd"), (10, b"efgh")], said=[0, 4, 10])
    with pytest.raises(InvalidArchive, match="the layer: the sparse map of 'f' does not fit"):
        unpacked(tmp_path, liar)


@pytest.mark.parametrize("form", SPARSE_FORMS)
def test_sparse_file_too_large(tmp_path: Path, form: str) -> None:
    """What no filesystem can hold is an error, and no zeros are written before."""
    with pytest.raises(FerryError, match=r"the layer: 'f': File too large"):
        unpacked(tmp_path, sparse(form, b"f", 1 << 61, [(0, b"abcd")]))
