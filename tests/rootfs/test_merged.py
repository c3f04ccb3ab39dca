"""What an image's layers together show: the same as overlay shows of them."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from ferryman.archive import tar
from ferryman.errors import InvalidImage
from ferryman.rootfs.members import Layer
from ferryman.rootfs.merged import File, merged
from tests.rootfs.layers import Item, folder, hardlink, item, opened, symlink, write


def shown(folder: Path, *layers: list[Item]) -> dict[bytes, File]:
    with ExitStack() as stack:
        made: list[Layer] = []
        for n, items in enumerate(layers):
            path = write(folder / f"{n}.tar", *items)
            made.append(stack.enter_context(opened(path)))
        return merged(made)


def where(files: dict[bytes, File]) -> dict[bytes, int]:
    """Return in which layer each path is."""
    return {path: file.layer for path, file in files.items()}


def test_later_layers_win(tmp_path: Path) -> None:
    files = shown(
        tmp_path,
        [
            folder(b"d", mode=0o700),
            item(b"d/a"),
            item(b"d/b"),
            item(b"e"),
            folder(b"f"),
            item(b"f/g"),
        ],
        [folder(b"d"), item(b"d/a"), folder(b"e"), item(b"e/x"), item(b"f")],
    )
    assert where(files) == {b"d": 1, b"d/a": 1, b"d/b": 0, b"e": 1, b"e/x": 1, b"f": 1}
    assert files[b"d"].member.mode == 0o755


def test_sorted_with_folders_first(tmp_path: Path) -> None:
    files = shown(tmp_path, [item(b"a-b"), item(b"a/z"), item(b"a.c"), item(b"B"), item(b"a/!")])
    assert list(files) == [b"B", b"a", b"a/!", b"a/z", b"a-b", b"a.c"]


def test_whiteouts(tmp_path: Path) -> None:
    """They hide what is below, never what is in their own layer, wherever they stand in it."""
    files = shown(
        tmp_path,
        [item(b"a"), item(b"b/x"), item(b"b/y"), item(b"c/x"), item(b"d/x"), item(b"e")],
        [
            *(item(b".wh.a"), item(b"b/new"), item(b"b/.wh..wh..opq"), item(b"c/new")),
            *(item(b".wh.c"), item(b".wh.none"), item(b"e", tar.CHARACTER)),
        ],
        [item(b"a"), item(b".wh..wh.plnk/1")],
    )
    assert where(files) == {b"a": 2, b"b": 1, b"b/new": 1, b"c": 1, b"c/new": 1, b"d": 0, b"d/x": 0}


def test_an_opaque_root(tmp_path: Path) -> None:
    assert where(shown(tmp_path, [item(b"a")], [item(b".wh..wh..opq"), item(b"b")])) == {b"b": 1}


def test_the_root(tmp_path: Path) -> None:
    """It is that of the last layer which says something of it."""
    files = shown(tmp_path, [folder(b"./", mode=0o700)], [folder(b"/", mode=0o711)], [item(b"a")])
    assert files[b""].member.mode == 0o711
    assert b"" not in shown(tmp_path, [item(b"a")])


def test_hard_links(tmp_path: Path) -> None:
    """Names of one file have one node, even when its first name is hidden."""
    files = shown(
        tmp_path,
        [item(b"a", content=b"x"), hardlink(b"d/b", b"a"), hardlink(b"c", b"d/b")],
        [item(b"a")],
    )
    assert files[b"c"].node is files[b"d/b"].node
    assert files[b"a"].node is not files[b"c"].node
    assert files[b"c"].member.size == 1


def test_links_in_paths(tmp_path: Path) -> None:
    """A link is followed within its layer; over a link of a lower layer a folder is made."""
    files = shown(
        tmp_path,
        [folder(b"usr/bin"), symlink(b"bin", b"usr/bin"), item(b"bin/sh")],
        [item(b"bin/new")],
    )
    assert where(files) == {b"usr": 0, b"usr/bin": 0, b"usr/bin/sh": 0, b"bin": 1, b"bin/new": 1}


def test_hostile(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match="name that leads outside"):
        shown(tmp_path, [item(b"a")], [item(b"../b")])
    deep = b"d/" * 4096
    assert len(shown(tmp_path, [item(deep + b"f")], [item(deep + b"g")])) == 4098
