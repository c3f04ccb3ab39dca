"""Image export: what comes out of an image is what its layers say together."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from ferryman.archive import tar
from ferryman.errors import InvalidArchive
from ferryman.operations.image_export import image_export
from ferryman.store.layout import open_store
from tests.images import docker_archive, load_into, made
from tests.rootfs.layers import (
    SPARSE_FORMS,
    Item,
    folder,
    hardlink,
    item,
    packed,
    sparse,
    symlink,
)

NAME = "it:1"


def exported(store: Path, *layers: list[Item], pipe: bool = False) -> bytes:
    """Return the export of an image of these layers."""
    here = open_store(str(store))
    load_into(here, docker_archive(made(*(packed(*items) for items in layers), names=[NAME])))
    path = store.with_suffix(".out")
    with path.open("wb") as out:
        if not pipe:
            image_export(here, NAME, out.fileno())
        else:
            with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out) as cat:
                assert cat.stdin
                image_export(here, NAME, cat.stdin.fileno())
    return path.read_bytes()


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content), errors="surrogateescape") as opened:
        found = list(opened)
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("form", SPARSE_FORMS)
def test_sparse(store: Path, tmp_path: Path, form: str, pipe: bool) -> None:
    """Whatever form a layer has, what comes out is the whole file, which every reader knows."""
    pieces = [(n << 16, b"%512d" % n) for n in range(50)]
    items = [
        item(b"before", content=b"before"),
        sparse(form, b"many", 50 << 16, pieces, mode=0o640, owner=(1, 2), mtime_ns=3),
        sparse(form, b"hole", 3 << 20, []),
        sparse(form, b"odd", 2001, [(0, b"abc"), (1000, b"d"), (2000, b"e")]),
        hardlink(b"again", b"many"),
        item(b"then", content=b"then"),
    ]
    content = exported(store, items, pipe=pipe)
    found = members(content)
    assert not any(each.sparse for each in found.values())
    into = tmp_path / "into"
    into.mkdir()
    subprocess.run(["tar", "-C", into, "-xpf", "-"], input=content, check=True)
    whole = bytearray(50 << 16)
    for at, piece in pieces:
        whole[at : at + len(piece)] = piece
    assert (into / "many").read_bytes() == (into / "again").read_bytes() == whole
    status = (into / "many").stat()
    assert (status.st_nlink, status.st_mode & 0o7777, status.st_mtime_ns) == (2, 0o640, 3)
    assert (into / "hole").read_bytes() == bytes(3 << 20)
    assert (into / "odd").read_bytes() == b"abc".ljust(1000, b"\0") + b"d".ljust(1000, b"\0") + b"e"
    assert (into / "before").read_bytes() == b"before"
    assert (into / "then").read_bytes() == b"then"


def test_map_that_lies(store: Path) -> None:
    liar = sparse("1.0", b"f", 100, [(0, b"abcd")], said=[98, 4])
    with pytest.raises(InvalidArchive, match="the sparse map of 'f' does not fit its content"):
        exported(store, [liar])


def test_hard_links(store: Path) -> None:
    """Whichever name comes first has the content; one whose first name is hidden has it, too."""
    found = members(
        exported(
            store,
            [item(b"z", content=b"both"), hardlink(b"b", b"z"), hardlink(b"a", b"b")],
            [item(b"z", content=b"other")],
        )
    )
    assert {name: (each.size, each.linkname) for name, each in found.items()} == {
        "a": (4, ""),
        "b": (0, "a"),
        "z": (5, ""),
    }


def test_kinds(store: Path) -> None:
    long = "n" * 120 + "\udcff"
    content = exported(
        store,
        [
            folder(b"./", mode=0o711),
            item(b"null", tar.CHARACTER, device=(1, 3)),
            item(b"disk", tar.BLOCK_DEVICE, device=(8, 300)),
            hardlink(b"null2", b"null"),
            item(b"pipe", tar.FIFO, mtime_ns=1_700_000_000_123_456_789),
            symlink(b"link", b"/null"),
            item(os.fsencode(long), xattrs={b"user.u": b"\0", b"trusted.overlay.opaque": b"y"}),
            item(b"d/.wh.gone"),
        ],
    )
    found = members(content)
    assert {name: each.type for name, each in found.items()} == {
        ".": b"5",
        "null": b"3",
        "disk": b"4",
        "null2": b"1",
        "pipe": b"6",
        "link": b"2",
        long: b"0",
        "d": b"5",
    }
    assert (found["disk"].devmajor, found["disk"].devminor) == (8, 300)
    assert found["null2"].linkname == "null"
    assert found["pipe"].pax_headers["mtime"] == "1700000000.123456789"
    assert set(found[long].pax_headers) & {"SCHILY.xattr.user.u"} == {"SCHILY.xattr.user.u"}
    assert b"overlay" not in content
