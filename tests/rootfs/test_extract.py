"""Layers unpacked: what is in them comes out exactly, and never anywhere else."""

import hashlib
import itertools
import os
import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ferryman.archive import tar
from ferryman.errors import FerryError, InvalidArchive, InvalidImage, StoreError
from ferryman.rootfs import syscalls, tree
from ferryman.rootfs.extract import extract
from tests.disks import small_disk
from tests.rootfs.layers import (
    SPARSE_FORMS,
    Item,
    extended,
    folder,
    hardlink,
    item,
    opened,
    sparse,
    spoiled,
    symlink,
    write,
)
from tests.rootfs.seen import Entry, T, apart, seen

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
    "hole": (1 << 24, []),
    "full": (3, [(0, b"abc")]),
    "end": (70_000, [(4096, b"x" * 4096)]),
    "many": (100 << 16, [(n << 16, b"%512d" % n) for n in range(100)]),
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


OUTSIDE = b"@"
"""Stands in names for the path of a folder that is outside."""


class Outside(NamedTuple):
    """A folder with others around, in which a layer is unpacked: nothing but `into` may change."""

    folder: Path

    @property
    def into(self) -> Path:
        return self.folder / "middle/into"

    def try_to(self, *items: Item, user: bool = False) -> dict[bytes, Entry]:
        """Unpack a layer; return what is there then."""
        here = os.fsencode(self.folder / "outside")
        layer = write(self.folder / "layer.tar", *(placed(each, here) for each in items))
        with self.unchanged(), opened(layer) as source:
            extract(source, str(self.into), user=user)
        return seen(self.into)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Check that nothing outside has changed after the block, whatever it raises."""
        before = seen(self.folder, skip=[b"middle/into"])
        try:
            yield
        finally:
            assert seen(self.folder, skip=[b"middle/into"]) == before


def placed(made: Item, outside: bytes) -> Item:
    """Return an item with the path of the folder in the place of `OUTSIDE`."""
    member = made.member._replace(
        name=made.member.name.replace(OUTSIDE, outside),
        link=made.member.link.replace(OUTSIDE, outside),
    )
    return made._replace(member=member)


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    for path in ("outside/folder", "middle/into", "middle/outside"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("outside/secret", "middle/outside/secret", "middle/secret"):
        (tmp_path / path).write_text("secret")
    return Outside(tmp_path)


LINKS_THROUGH = {
    "an absolute link": [symlink(b"l", OUTSIDE), item(b"l/new")],
    "a relative link": [symlink(b"l", b"../outside"), item(b"l/new")],
    "far up": [symlink(b"l", b"../" * 50 + b"outside"), item(b"l/new")],
    "a link to a link": [symlink(b"l", OUTSIDE), symlink(b"m", b"l"), item(b"m/new")],
    "a link in a folder": [folder(b"d"), symlink(b"d/l", b"../../outside"), item(b"d/l/new")],
    "a link and then up": [symlink(b"l", b"/d/.."), folder(b"d"), item(b"l/outside/new")],
    "a folder through it": [symlink(b"l", OUTSIDE), folder(b"l/folder"), item(b"l/folder/new")],
    "a link for a file": [symlink(b"secret", OUTSIDE + b"/secret"), item(b"secret")],
    "a link for a folder": [symlink(b"l", OUTSIDE), folder(b"l", mode=0o700)],
    "a folder, then a link": [folder(b"d"), symlink(b"d", OUTSIDE), item(b"d/new")],
    "a hard link to a link": [
        symlink(b"l", OUTSIDE + b"/secret"),
        hardlink(b"h", b"l"),
        item(b"h", content=b"new"),
    ],
    "a hard link through one": [
        symlink(b"l", b"/outside"),
        item(b"outside/secret", content=b"inside"),
        hardlink(b"h", b"l/secret"),
    ],
    "a whiteout through one": [symlink(b"l", OUTSIDE), item(b"l/.wh.secret")],
    "an opaque folder through one": [symlink(b"l", OUTSIDE), item(b"l/.wh..wh..opq")],
    "a device through one": [symlink(b"l", OUTSIDE), item(b"l/null", b"3", device=(1, 3))],
    "attributes of a link": [
        symlink(b"l", OUTSIDE + b"/secret")._replace(
            member=symlink(b"l", OUTSIDE + b"/secret").member._replace(
                mode=0o4777, uid=1000, gid=1000, mtime_ns=1, pax={b"SCHILY.xattr.trusted.t": b"t"}
            )
        )
    ],
}


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("case", LINKS_THROUGH)
def test_links(outside: Outside, case: str, user: bool) -> None:
    """Whatever links lead to is within the tree, as docker has it, which unpacks in a chroot."""
    outside.try_to(*LINKS_THROUGH[case], user=user)


def test_links_lead_within(outside: Outside) -> None:
    """The root of a link is that of the layer, and that is above itself."""
    there = outside.try_to(
        symlink(b"a", b"/x/y"),
        item(b"a/one", content=b"1"),
        symlink(b"x/b", b"../../../../x"),
        item(b"x/b/y/two", content=b"2"),
    )
    assert {b"x/y/one", b"x/y/two"} < there.keys()
    assert there[b"a"].what == b"/x/y"
    assert there[b"x/b"].what == b"../../../../x"


NAMES_OUTSIDE = [
    b"../new",
    b"../../outside/new",
    b"a/../../new",
    b"./../new",
    b"..",
    b"a/b/../../..",
]


@pytest.mark.parametrize("name", NAMES_OUTSIDE)
@pytest.mark.parametrize(
    "make",
    [
        item,
        folder,
        lambda name: symlink(name, b"ok"),
        lambda name: hardlink(name, b"ok"),
        lambda name: hardlink(b"h", name),
    ],
)
def test_names_that_lead_outside(
    outside: Outside, name: bytes, make: Callable[[bytes], Item]
) -> None:
    shown = re.escape(repr(name)[1:])
    with pytest.raises(InvalidImage, match=f"^the layer: name that leads outside: {shown}$"):
        outside.try_to(item(b"ok"), make(name))


def test_names_within(outside: Outside) -> None:
    """Names are read as docker does: the root is above itself, and ".." takes a name away."""
    there = outside.try_to(
        item(OUTSIDE + b"/new"),
        item(b"//a"),
        item(b"/../b"),
        item(b"none/../c"),
        item(b"./d/./e//f"),
        hardlink(b"g", b"/d/x/../e/f"),
    )
    assert there.keys() >= {b"a", b"b", b"c", b"d/e/f", b"g"}
    assert there[b"g"].names == [b"d/e/f", b"g"]
    assert b"none" not in there


REFUSED = {
    "a hard link to nothing": ([hardlink(b"h", b"none")], "hard link 'h' leads to no file: 'none'"),
    "a hard link to what is outside": (
        [hardlink(b"h", OUTSIDE + b"/secret")],
        "hard link 'h' leads to no file: ",
    ),
    "a hard link to what comes later": (
        [hardlink(b"h", b"f"), item(b"f")],
        "hard link 'h' leads to no file: 'f'",
    ),
    "hard links in a circle": (
        [hardlink(b"h", b"i"), hardlink(b"i", b"h")],
        "hard link 'h' leads to no file: 'i'",
    ),
    "a hard link to a folder": (
        [folder(b"d"), hardlink(b"h", b"d")],
        "hard link 'h' leads to a folder",
    ),
    "a hard link to the root": ([hardlink(b"h", b"/")], "hard link 'h' leads to "),
    "a hard link for the root": ([item(b"f"), hardlink(b"./", b"f")], "its root is not a folder"),
    "a link that leads to itself": (
        [symlink(b"l", b"l"), item(b"l/f")],
        "too many links on the way to 'l'",
    ),
    "links in a circle": (
        [symlink(b"l", b"m/x"), symlink(b"m", b"/l/y"), item(b"l/f")],
        "too many links on the way to 'l'",
    ),
    "too long a chain of links": (
        [*(symlink(b"l%d" % n, b"l%d" % (n + 1)) for n in range(41)), item(b"l0/f")],
        "too many links on the way to 'l0'",
    ),
    "a file for a folder": ([item(b"f"), item(b"f/g")], "'f' should be a folder, but 'f' is none"),
    "a link to a file for a folder": (
        [item(b"f"), symlink(b"l", b"f"), item(b"l/g")],
        "'l' should be a folder, but 'f' is none",
    ),
    "a link for the root": ([symlink(b"/", OUTSIDE)], "its root is not a folder"),
    "a file for the root": ([item(b".")], "its root is not a folder"),
    "a whiteout of nothing": ([item(b".wh.")], "whiteout of no file: '.wh.'"),
    "a whiteout of the root": ([item(b".wh..")], "whiteout of no file: '.wh..'"),
    "a whiteout of what is above": ([item(b".wh...")], "whiteout of no file: '.wh...'"),
    "a whiteout of a folder by itself": ([item(b"d/.wh..")], "whiteout of no file: 'd/.wh..'"),
    "a whiteout of the folder above": ([item(b"d/.wh...")], "whiteout of no file: 'd/.wh...'"),
    "too long a name": ([item(b"d/" + b"n" * 256)], "name of more than 255 bytes: 'nnn"),
    "too long a name of a folder": (
        [item(b"n" * 256 + b"/f")],
        "name of more than 255 bytes: 'nnn",
    ),
    "a whiteout of too long a name": (
        [item(b".wh." + b"n" * 256)],
        "name of more than 255 bytes: 'nnn",
    ),
    "too deep": ([folder(b"d/" * 4097)], "has more than 4096 folders in each other"),
    "an owner that cannot be": ([item(b"f", owner=(1 << 32, 0))], "impossible owner of 'f'"),
    "an owner that is none": (
        [item(b"f", owner=(0, (1 << 32) - 1))],
        "impossible owner of 'f'",
    ),
    "an owner without end": ([item(b"f", owner=(1 << 61, 0))], "impossible owner of 'f'"),
    "a link to nowhere": ([symlink(b"l", b"")], "impossible link 'l'"),
    "a link that is too long": ([symlink(b"l", b"x" * 4096)], "impossible link 'l'"),
    "a device that cannot be": ([item(b"b", b"4", device=(4096, 0))], "impossible device 'b'"),
    "an attribute with a NUL": (
        [item(b"f", xattrs={b"user.a\0b": b"v"})],
        "impossible attribute of 'f'",
    ),
    "an attribute without a name": (
        [item(b"f", xattrs={b"": b"v"})],
        "impossible attribute of 'f'",
    ),
    "an attribute of too long a name": (
        [item(b"f", xattrs={b"user." + b"n" * 251: b"v"})],
        "impossible attribute of 'f'",
    ),
    "an attribute that is too large": (
        [item(b"f", xattrs={b"user.u": bytes((1 << 16) + 1)})],
        "impossible attribute of 'f'",
    ),
    "an access control list of rubbish": (
        [item(b"d/f", xattrs={b"system.posix_acl_access": b"\2\0\0\0rubbish"})],
        "'d/f': Invalid argument",
    ),
    "capabilities of rubbish": (
        [item(b"f", xattrs={b"security.capability": b"rubbish"})],
        "'f': Invalid argument",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(outside: Outside, case: str) -> None:
    """What cannot be has one clear line, which names the layer and the member."""
    items, why = REFUSED[case]
    with pytest.raises(InvalidImage, match=re.escape(why)) as caught:
        outside.try_to(*items)
    assert "the layer" in str(caught.value)
    assert "\n" not in str(caught.value)


BROKEN = {
    "a name with a NUL": extended(item(b"f"), {b"path": b"a\0b"}),
    "a link with a NUL": extended(symlink(b"f", b"x"), {b"linkpath": b"a\0b"}),
    "a size beyond the end": extended(item(b"f"), {b"size": b"%d" % (1 << 40)}),
    "a size that cuts content off": extended(item(b"f", content=b"x" * 2000), {b"size": b"3"}),
    "a size without end": extended(item(b"f"), {b"size": b"9" * 30}),
    "a negative size": extended(item(b"f"), {b"size": b"-1"}),
    "an owner below zero": extended(item(b"f"), {b"uid": b"-1"}),
    "an owner that is no number": extended(item(b"f"), {b"gid": b"root"}),
    "a time that is none": extended(item(b"f"), {b"mtime": b"now"}),
    "a time without end": extended(item(b"f"), {b"mtime": b"9" * 25}),
    "an odd type": spoiled(item(b"f"), 156, b"V"),
    "a size that is no number": spoiled(item(b"f"), 124, b"rubbish\0"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken(outside: Outside, case: str) -> None:
    with pytest.raises(InvalidArchive, match=r"^the layer(:| is truncated:) .* at byte \d+$"):
        outside.try_to(item(b"before"), BROKEN[case], item(b"after"))


def test_devices(outside: Outside) -> None:
    """Root gets the devices of a layer; an ordinary user none, nor other names of them."""
    items = [
        item(b"null", b"3", device=(1, 3), mode=0o666),
        item(b"disk", b"4", device=(259, 70000), owner=(0, 6), mode=0o4660),
        hardlink(b"d/again", b"null"),
        item(b"pipe", tar.FIFO),
        item(b"file"),
    ]
    there = outside.try_to(*items)
    assert (there[b"null"].mode, there[b"null"].what) == (0o20666, os.makedev(1, 3))
    assert there[b"null"].names == [b"d/again", b"null"]
    assert (there[b"disk"].mode, there[b"disk"].what) == (0o64660, os.makedev(259, 70000))
    subprocess.run(["rm", "-r", outside.into], check=True)
    outside.into.mkdir()
    assert outside.try_to(*items, user=True).keys() == {b"", b"d", b"pipe", b"file"}


def test_setuid_files_of_others(outside: Outside) -> None:
    """In a user namespace root's files are not those of the machine's root."""
    outside.folder.chmod(0o755)
    os.chown(outside.into, 100_000, 100_000)
    layer = write(
        outside.folder / "layer.tar",
        item(b"su", content=b"#!", mode=0o4755),
        item(b"ann", content=b"#!", mode=0o6755, owner=(999, 999)),
    )
    with outside.unchanged(), opened(layer) as source:
        mapped(lambda: extract(source, "middle/into", user=True), outside.folder)
    there = seen(outside.into)
    assert (there[b"su"].owner, there[b"su"].mode) == ((100_000, 100_000), 0o104755)
    assert (there[b"ann"].owner, there[b"ann"].mode) == ((100_999, 100_999), 0o106755)


def test_owners_that_a_user_has_not_got(outside: Outside) -> None:
    outside.folder.chmod(0o755)
    os.chown(outside.into, 100_000, 100_000)
    layer = write(outside.folder / "layer.tar", item(b"bob", owner=(1000, 0), mode=0o4755))
    with outside.unchanged(), opened(layer) as source:
        said = "cannot unpack the layer: 'bob': the user ID 1000 is beyond those that /etc/subuid"
        with pytest.raises(InvalidImage, match=said):
            mapped(lambda: extract(source, "middle/into", user=True), outside.folder)


def mapped(function: Callable[[], T], folder: Path) -> T:
    """Call a function, in a folder, as root of a user namespace: IDs from 100000 on, a thousand."""

    def inside() -> T:
        os.chdir(folder)
        reading, writing = os.pipe()
        process = os.getpid()
        if not (helper := os.fork()):
            try:
                os.read(reading, 1)
                for kind in ("uid", "gid"):
                    Path(f"/proc/{process}/{kind}_map").write_text("0 100000 1000")
            finally:
                os._exit(0)
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        os.write(writing, b".")
        os.waitpid(helper, 0)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        return function()

    return apart(inside)


def test_whiteouts(outside: Outside) -> None:
    """Marks become overlay's; what AUFS kept for itself is left out, and so is overlay's own."""
    items = [
        item(b".wh.gone"),
        item(b"d/.wh..wh..opq"),
        item(b".wh..wh..opq"),
        item(b".wh..wh.aufs"),
        folder(b".wh..wh.plnk"),
        item(b".wh..wh.plnk/1.2", content=b"linked"),
        hardlink(b"linked", b".wh..wh.plnk/1.2"),
        item(b".wh..wh.orph/3"),
        item(b"both", content=b"there"),
        item(b".wh.both"),
        item(b"e/f"),
        item(b".wh.e"),
        item(
            b"attributes",
            xattrs={
                b"trusted.overlay.redirect": b"/d",
                b"user.overlay.redirect": b"/d",
                b"trusted.overlay.opaque": b"y",
                b"user.overlay.whiteout": b"",
                b"user.mine": b"kept",
            },
        ),
    ]
    there = outside.try_to(*items)
    paths = {b"", b"gone", b"d", b"linked", b"both", b"e", b"e/f", b"attributes"}
    assert there.keys() == paths
    assert (there[b"gone"].mode, there[b"gone"].what) == (0o20000, 0)
    opaque = {"trusted.overlay.opaque": b"y"}
    assert there[b"d"].xattrs == there[b"e"].xattrs == opaque
    assert there[b""].xattrs == opaque | {"trusted.overlay.origin": b""}
    assert there[b"both"].what == hashlib.sha256(b"there").digest()
    assert there[b"attributes"].xattrs == {"user.mine": b"kept"}


def test_whiteouts_of_a_user(outside: Outside) -> None:
    there = outside.try_to(item(b".wh.gone"), item(b"d/.wh..wh..opq"), user=True)
    assert (there[b"gone"].mode, there[b"gone"].what) == (0o20000, 0)
    assert there[b"d"].xattrs == {"user.overlay.opaque": b"y"}


def test_members_of_one_name(outside: Outside) -> None:
    """The last one counts; a folder that is there stays, with what is in it."""
    there = outside.try_to(
        item(b"f", content=b"first"),
        hardlink(b"h", b"f"),
        item(b"f", content=b"second"),
        folder(b"d", mode=0o700),
        item(b"d/f"),
        folder(b"d", mode=0o755),
        folder(b"gone"),
        item(b"gone/f"),
        item(b"gone", content=b"no folder"),
        item(b"new", content=b"no folder"),
        folder(b"new"),
        item(b"new/f"),
        symlink(b"l", b"d"),
        item(b"l", content=b"no link"),
        item(b"one"),
        hardlink(b"two", b"one"),
        hardlink(b"two", b"two"),
    )
    assert there.keys() == {
        *(b"", b"f", b"h", b"d", b"d/f", b"gone", b"new", b"new/f", b"l", b"one", b"two")
    }
    assert there[b"h"].what == hashlib.sha256(b"first").digest()
    assert there[b"f"].what == hashlib.sha256(b"second").digest()
    assert there[b"d"].mode == 0o40755
    assert there[b"l"].what == hashlib.sha256(b"no link").digest()
    assert there[b"two"].names == [b"one", b"two"]


def test_names_and_times(outside: Outside) -> None:
    """Names are bytes; times are those of the layer, before 1970 too, where docker has 1970."""
    names = [b"n" * 255, b"\xff\xfe", b"a\nb", b"\x1b[31m", " ö".encode(), b"...", b"-rf", b"\\"]
    names += [b"d" * 255 + b"/" + b"f" * 255]
    times = [-1, 0, 1, -(10**9), 1_700_000_000_123_456_789, -(10**9) * 2**31, 10**9 * 2**33 + 7]
    items = [item(name, mtime_ns=n) for name, n in zip(names, itertools.cycle(times), strict=False)]
    there = outside.try_to(*items)
    for made in items:
        assert there[made.member.name].mtime_ns == made.member.mtime_ns
    assert {name.split(b"/")[0] for name in there} == {b"", *(n.split(b"/")[0] for n in names)}


@pytest.mark.parametrize("seconds", [1 << 40, -(1 << 40), (1 << 63) - 1, 1 - (1 << 63)])
def test_times_without_end(outside: Outside, seconds: int) -> None:
    """What a filesystem has no room for becomes the nearest that it has, as the kernel does it."""
    there = outside.try_to(item(b"f", mtime_ns=seconds * 10**9))
    assert (there[b"f"].mtime_ns > 0) == (seconds > 0)


def test_deepest(tmp_path: Path) -> None:
    """Folders may lie deeper than a path can say."""
    layer = write(tmp_path / "layer.tar", item(b"d/" * 4096 + b"f", content=b"deep", mtime_ns=1))
    into = tmp_path / "into"
    into.mkdir()
    try:
        with opened(layer) as source:
            extract(source, str(into))
        fd = os.open(into, os.O_RDONLY)
        for _ in range(4096):
            below = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        assert os.listdir(fd) == ["f"]
        assert os.fstat(fd).st_mtime_ns == 0
        with open(os.open("f", os.O_RDONLY, dir_fd=fd), "rb") as f:
            assert f.read() == b"deep"
        os.close(fd)
    finally:
        subprocess.run(["rm", "-r", into], check=True)


def test_full(tmp_path: Path) -> None:
    """A filesystem that runs full is the store's error, not the layer's."""
    with small_disk(tmp_path / "small", 1 << 20) as disk:
        layer = write(disk / "layer.tar", item(b"d/f", content=bytes(600 << 10)))
        (disk / "into").mkdir()
        with opened(layer) as source, pytest.raises(StoreError) as caught:
            extract(source, str(disk / "into"))
    assert str(caught.value) == "cannot unpack the layer: No space left on device"


@pytest.mark.slow
def test_a_million_members(tmp_path: Path) -> None:
    """What is replaced in the same layer takes neither memory nor, on the disk, time."""
    kinds: list[Callable[[bytes], Item]] = [
        item,
        lambda name: symlink(name, b"nowhere"),
        folder,
        lambda name: item(os.path.dirname(name) + b"/.wh." + os.path.basename(name)),
        lambda name: hardlink(name, b"first"),
    ]
    names = [b"%d/%d" % (n % 100, n) for n in range(20_000)]
    layer = tmp_path / "layer.tar"
    with open(layer, "wb") as f:
        f.write(tar.header(item(b"first").member))
        for kind in kinds * 2:
            members = b"".join(tar.header(kind(name).member) for name in names)
            for _ in range(5):
                f.write(members)
        f.write(tar.END)
    assert layer.stat().st_size > 1_000_000 * tar.BLOCK
    into = tmp_path / "into"
    into.mkdir()

    def memory() -> int:
        # Whoever runs the tests has taken some, too.
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with opened(layer) as source:
            extract(source, str(into))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert apart(memory) < 150 << 10  # KiB
    assert sum(len(files) for _, _, files in os.walk(into)) == 20_001
    assert (into / "first").stat().st_nlink == 20_001


def test_links_that_take_time(tmp_path: Path) -> None:
    """A few links that lead to each other by long ways are not followed for hours."""
    way = b"./" * 2000
    links = [symlink(b"l%d" % n, way + b"l%d" % (n + 1)) for n in range(38)]
    members = [item(b"l%d/%d" % (n % 2, n)) for n in range(1000)]
    layer = write(tmp_path / "layer.tar", *links, folder(b"l38"), *members)
    with opened(layer) as source, pytest.raises(InvalidImage, match="too many links on the way"):
        tree.tree(source)


def test_what_takes_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that say nothing of a file are not kept; of others there may be so many."""
    comment = extended(item(b"f"), {b"comment": bytes(1 << 19), b"mtime": b"1"})
    with opened(write(tmp_path / "layer.tar", comment)) as source:
        node = (tree.tree(source).children or {})[b"f"]
    assert (node.member.pax, node.member.mtime_ns) == ({}, 10**9)
    monkeypatch.setattr(tree, "_MAX_BYTES", 1 << 20)
    for number, many in enumerate(
        (
            [item(b"%d" % n, xattrs={b"user.u": bytes(60_000)}) for n in range(20)],
            [symlink(b"%d" % n, b"l" * 4000) for n in range(300)],
            [hardlink(b"%0250d" % n, b"f") for n in range(5000)],
            [item(b".wh.%0250d" % n) for n in range(5000)],
            [item(b"%d" % n, xattrs={b"user.%d" % i: b"" for i in range(200)}) for n in range(30)],
        )
    ):
        layer = write(tmp_path / f"{number}.tar", item(b"f"), *many)
        with opened(layer) as source, pytest.raises(InvalidImage, match="too many names and attr"):
            tree.tree(source)
