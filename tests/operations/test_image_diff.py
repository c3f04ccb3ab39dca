"""Image diff: two images held against each other, file by file."""

from pathlib import Path

import pytest

from ferryman.archive import tar
from ferryman.operations.image_diff import image_diff
from ferryman.store.layout import open_store
from tests.images import docker_archive, load_into, made
from tests.rootfs.layers import SPARSE_FORMS, Item, folder, hardlink, item, packed, sparse, symlink


def difference(store: Path, one: list[Item], other: list[Item]) -> dict[bytes, tuple[str, int]]:
    """Return what changes from one image to another: kinds and sizes by path."""
    here = open_store(str(store))
    for name, items in (("one:1", one), ("other:1", other)):
        load_into(here, docker_archive(made(packed(*items), names=[name])))
    changes = image_diff(here, "one:1", "other:1")
    assert [change.path for change in changes] == sorted(change.path for change in changes)
    return {change.path: (change.kind, change.size) for change in changes}


PIECES = [(0, b"x" * 512), (1 << 20, b"y" * 512)]
WHOLE = b"x" * 512 + bytes((1 << 20) - 512) + b"y" * 512
SIZE = len(WHOLE)


@pytest.mark.parametrize("form", SPARSE_FORMS)
@pytest.mark.parametrize("other", ["whole", *SPARSE_FORMS])
def test_sparse(store: Path, form: str, other: str) -> None:
    """The same bytes are the same, whatever form they come in; zeros and a hole are alike."""

    def made_as(form: str, name: bytes, pieces: list[tuple[int, bytes]]) -> Item:
        if form != "whole":
            return sparse(form, name, SIZE, pieces)
        content = bytearray(SIZE)
        for at, piece in pieces:
            content[at : at + len(piece)] = piece
        return item(name, content=bytes(content))

    one = [sparse(form, name, SIZE, PIECES) for name in (b"same", b"zeros", b"less", b"more")]
    two = [
        made_as(other, b"same", PIECES),
        made_as(other, b"zeros", [PIECES[0], (4096, bytes(512)), PIECES[1]]),
        made_as(other, b"less", PIECES[:1]),
        made_as(other, b"more", [PIECES[0], (4096, b"z" * 512), PIECES[1]]),
    ]
    # So that the layers are not the same.
    two.append(item(b"new", content=b"new"))
    assert difference(store, one, two) == {
        b"less": ("C", SIZE),
        b"more": ("C", SIZE),
        b"new": ("A", 3),
    }


def test_size_of_a_hole(store: Path) -> None:
    one = [sparse("1.0", b"f", 1 << 40, [])]
    assert difference(store, one, [sparse("1.0", b"f", 1 << 41, [])]) == {b"f": ("C", 1 << 41)}


def test_kinds(store: Path) -> None:
    one = [
        *(item(b"gone", content=b"gone"), item(b"mode"), item(b"owner"), item(b"time")),
        *(item(b"xattr"), item(b"content", content=b"one"), symlink(b"link", b"a")),
        *(item(b"kind"), item(b"device", tar.CHARACTER, device=(1, 3)), folder(b"folder")),
        *(item(b"h", content=b"h"), hardlink(b"i", b"h"), item(b"overlay")),
    ]
    other = [
        *(item(b"mode", mode=0o600), item(b"owner", owner=(1, 0)), item(b"time", mtime_ns=1)),
        item(b"xattr", xattrs={b"user.u": b""}),
        *(item(b"content", content=b"two"), symlink(b"link", b"b"), symlink(b"kind", b"a")),
        *(item(b"device", tar.CHARACTER, device=(1, 5)), folder(b"folder", mode=0o700)),
        *(item(b"i", content=b"h"), hardlink(b"h", b"i")),
        *(item(b"overlay", xattrs={b"trusted.overlay.opaque": b"y"}), item(b"d/new")),
    ]
    changed = (b"mode", b"owner", b"xattr", b"content", b"link", b"kind", b"device", b"folder")
    kinds = {path: kind for path, (kind, _) in difference(store, one, other).items()}
    assert kinds == dict.fromkeys(changed, "C") | {b"gone": "D", b"d": "A", b"d/new": "A"}
