"""Layers over each other: mounted, unpacked and merged in memory they are the same."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferryman.archive import tar
from ferryman.archive.sparse import content
from ferryman.errors import InvalidImage
from ferryman.rootfs import erofs, erofs_mount, overlay, syscalls, tree
from ferryman.rootfs.extract import extract
from ferryman.rootfs.members import Layer
from ferryman.rootfs.merged import merged
from tests.rootfs.layers import Item, item, opened, write
from tests.rootfs.made_up import items
from tests.rootfs.seen import Entry, apart, seen

pytestmark = pytest.mark.skipif(not erofs_mount.possible(), reason="takes root and Linux 6.4")


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stack=st.lists(st.lists(items(), max_size=20), min_size=1, max_size=3))
def test_any_stack(tmp_path_factory: pytest.TempPathFactory, stack: list[list[Item]]) -> None:
    folder = tmp_path_factory.mktemp("stack")
    layers = [made(folder / f"{n}.tar", possible) for n, possible in enumerate(stack)]
    unpacked = apart(lambda: over([unpack(layer) for layer in layers], folder))
    mounted = apart(lambda: over([mount(layer) for layer in layers], folder))
    assert mounted == unpacked
    assert merged_in_memory(layers) == comparable(unpacked)


def test_marks_of_nothing(tmp_path: Path) -> None:
    """A whiteout of what no layer has is not listed either."""
    layer = write(tmp_path / "0.tar", item(b"d/.wh.none"), item(b"d/e/.wh.none"), item(b"d/f"))
    for lower in (unpack, mount):
        there = apart(lambda lower=lower: over([lower(layer)], tmp_path))  # type: ignore[misc]
        assert there.keys() == {b"", b"d", b"d/e", b"d/f"}


def made(path: Path, candidates: Sequence[Item]) -> Path:
    """Write a layer of those members that can be in one."""
    kept: list[Item] = []
    for candidate in candidates:
        with opened(write(path, *kept, candidate)) as layer:
            try:
                tree.tree(layer)
            except InvalidImage:
                continue
        kept.append(candidate)
    return write(path, *kept)


def unpack(layer: Path) -> Path:
    into = layer.with_suffix(".unpacked")
    into.mkdir()
    with opened(layer) as source:
        extract(source, str(into))
    return into


def mount(layer: Path) -> Path:
    index, at = layer.with_suffix(".erofs"), layer.with_suffix(".mounted")
    with opened(layer) as source, index.open("wb") as f:
        erofs.write_index(source, f.fileno())
    at.mkdir()
    fd = erofs_mount.mounted(str(index), str(layer), str(layer.parent))
    syscalls.move_mount(fd, str(at))
    os.close(fd)
    return at


def over(layers: Sequence[Path], folder: Path) -> dict[bytes, Entry]:
    """Return what overlay shows of layers, over a folder in which nothing is."""
    lowest, at = folder / "lowest", folder / "at"
    lowest.mkdir(exist_ok=True)
    at.mkdir(exist_ok=True)
    lowers = [str(layer) for layer in (*layers[::-1], lowest)]
    overlay.mount_overlay(lowers, None, None, str(at), read_only=True)
    return seen(at)


def comparable(there: dict[bytes, Entry]) -> dict[bytes, Entry]:
    """Return it without what no layer need say: the root, and how many links a folder has."""
    return {
        path: entry._replace(what=b"") if stat.S_ISDIR(entry.mode) else entry
        for path, entry in there.items()
        if path
    }


def merged_in_memory(layers: Sequence[Path]) -> dict[bytes, Entry]:
    with ExitStack() as stack:
        sources = [stack.enter_context(opened(layer)) for layer in layers]
        files = merged(sources)
        names: dict[tree.Node, list[bytes]] = {}
        for path, file in sorted(files.items()):
            names.setdefault(file.node, []).append(path)
        return {
            path: Entry(
                kind(file.member),
                (file.member.uid, file.member.gid),
                file.member.mtime_ns,
                *what(file.member, sources[file.layer]),
                dict(xattrs(file.member)),
                names[file.node],
            )
            for path, file in files.items()
            if path
        }


KINDS = {
    tar.FILE: stat.S_IFREG,
    tar.SPARSE: stat.S_IFREG,
    tar.FOLDER: stat.S_IFDIR,
    tar.CHARACTER: stat.S_IFCHR,
    tar.BLOCK_DEVICE: stat.S_IFBLK,
    tar.FIFO: stat.S_IFIFO,
    tar.SYMLINK: stat.S_IFLNK,
}


def kind(member: tar.Member) -> int:
    return KINDS[member.type] | (0o777 if member.type == tar.SYMLINK else member.mode)


def what(member: tar.Member, layer: Layer) -> tuple[bytes | int, int]:
    """Return what `Entry` has for a member, and its size."""
    if member.type == tar.SYMLINK:
        return member.link, len(member.link)
    if member.type in (tar.CHARACTER, tar.BLOCK_DEVICE):
        return os.makedev(*member.device), 0
    if member.type not in tar.FILES:
        return b"", 0
    whole = content(layer.fd, member, layer.what)
    return hashlib.sha256(whole.read(layer.fd, 0, whole.size)).digest(), whole.size


def xattrs(member: tar.Member) -> Iterator[tuple[str, bytes]]:
    for name, value in tree.own_xattrs(member):
        if name.split(b".")[0] in (b"user", b"trusted", b"security", b"system"):
            yield name.decode(), value
