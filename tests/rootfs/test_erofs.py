"""Layers mounted where they lie, compared with the same unpacked; the kernel is the judge."""

import hashlib
import os
import resource
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferryman.archive import tar
from ferryman.errors import FerryError, InvalidImage
from ferryman.rootfs import loop, posix_acl, syscalls
from ferryman.rootfs.erofs import NotMountable, write_index
from ferryman.rootfs.extract import extract
from tests.rootfs.layers import Item, acl, folder, item, opened, sparse, write
from tests.rootfs.made_up import items
from tests.rootfs.seen import Entry, T, apart, seen
from tests.rootfs.test_extract import BROKEN, LIES, REFUSED
from tests.rootfs.test_loop import gone

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="to mount takes root"),
    pytest.mark.skipif(
        tuple(map(int, os.uname().release.split(".")[:2])) < (6, 4),
        reason="blocks of 512 bytes take Linux 6.4",
    ),
]


def indexed(layer: Path) -> Path:
    """Write a layer's index beside it."""
    index = layer.with_suffix(".erofs")
    with opened(layer) as source, open(index, "wb") as f:
        write_index(source, f.fileno())
    return index


def mounted(layer: Path, look: Callable[[Path], T]) -> T:
    """Mount a layer where it lies, in a process of its own, and return what `look` finds there."""
    index = indexed(layer)
    at = layer.with_suffix(".mounted")
    at.mkdir(exist_ok=True)

    def inside() -> T:
        with (
            loop.opened(str(index), f"{index}.loop") as device,
            loop.opened(str(layer), f"{layer}.loop") as data,
        ):
            syscalls.mount(device, str(at), "erofs", syscalls.MS_RDONLY, f"device={data}")
        return look(at)

    return apart(inside)


def unpacked(layer: Path) -> dict[bytes, Entry]:
    """Unpack a layer, and return what is there."""
    into = layer.with_suffix(".unpacked")
    into.mkdir()
    with opened(layer) as source:
        extract(source, str(into))
    return seen(into)


def assert_same(layer: Path) -> dict[bytes, Entry]:
    """Check that a layer is the same mounted as unpacked; return what is in it."""
    want = unpacked(layer)
    there = mounted(layer, seen)
    assert there == want
    return there


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(members=st.lists(items(), min_size=10, max_size=30))
def test_any_layer(tmp_path_factory: pytest.TempPathFactory, members: list[Item]) -> None:
    """A layer is the same mounted as unpacked, or an error for the same reason."""
    path = tmp_path_factory.mktemp("any")
    # What cannot be there is left out, so that the rest may be looked at.
    kept: list[Item] = []
    for member in members:
        layer = write(path / "layer.tar", *kept, member)
        try:
            indexed(layer)
        except InvalidImage as e:
            why = str(e)
            with opened(layer) as source, pytest.raises(InvalidImage) as other:
                extract(source, str(path))
            assert str(other.value) == why
        else:
            kept.append(member)
    layer = write(path / "layer.tar", *kept)
    assert_same(layer)
    assert gone(layer)
    assert gone(layer.with_suffix(".erofs"))


def test_base(base_tar: Path, base_tree: Path, tmp_path: Path) -> None:
    """A real system is the same as that which it was packed from, and its programs run."""
    layer = tmp_path / "base.tar"
    layer.symlink_to(base_tar)

    def look(at: Path) -> tuple[dict[bytes, Entry], bytes]:
        said = subprocess.run(
            ["chroot", at, "python3", "-c", "import json, ssl; print(json.dumps([6 * 7]))"],
            stdout=subprocess.PIPE,
            check=True,
        )
        return seen(at), said.stdout

    there, said = mounted(layer, look)
    assert said == b"[42]\n"
    want = seen(base_tree)
    assert there.keys() == want.keys()
    assert [path for path in want if there[path] != want[path]] == []


def test_more_behind_the_end(tmp_path: Path) -> None:
    """A tar need not end with a whole block, and what is behind its end marker is nobody's."""
    layer = write(tmp_path / "layer.tar", item(b"f", content=b"x" * 1000))
    with open(layer, "ab") as f:
        f.write(b"y" * 100)
    assert assert_same(layer).keys() == {b"", b"f"}


def test_empty(tmp_path: Path) -> None:
    assert assert_same(write(tmp_path / "layer.tar")).keys() == {b""}


def test_names_in_a_folder(tmp_path: Path) -> None:
    """Each name is found, none that is not there is, in folders of one block and of many."""
    names = [b"%s%d" % (b"n" * (number % 240), number) for number in range(3000)]
    layer = write(tmp_path / "layer.tar", *(item(b"d/" + name) for name in names), folder(b"e"))

    def look(at: Path) -> tuple[set[bytes], bool, bool, int]:
        top = os.fsencode(at)
        return (
            set(os.listdir(top + b"/d")),
            all(os.path.isfile(top + b"/d/" + name) for name in names),
            any(os.path.lexists(top + b"/d/" + name[:-1] + b"x") for name in names),
            len(os.listdir(at / "e")),
        )

    assert mounted(layer, look) == (set(names), True, False, 0)


def test_numbers_of_folders(tmp_path: Path) -> None:
    """Each folder says of itself, and of the one above, what that says of itself."""
    layer = write(tmp_path / "layer.tar", item(b"a/b/c/d"), item(b"a/!/x"), folder(b"a/b/e"))

    def look(at: Path) -> bool:
        return all(
            os.stat(os.path.join(folder, "..")).st_ino == os.stat(folder.parent).st_ino
            and numbers(folder)[".."] == os.stat(folder.parent).st_ino
            and numbers(folder)["."] == os.stat(folder).st_ino
            for folder in (at / "a", at / "a/!", at / "a/b", at / "a/b/c", at / "a/b/e")
        )

    def numbers(folder: Path) -> dict[str, int]:
        listed = subprocess.run(["ls", "-ai1", folder], stdout=subprocess.PIPE, check=True)
        return {
            line.split()[1]: int(line.split()[0])
            for line in listed.stdout.decode().split("\n")
            if line
        }

    assert mounted(layer, look)


def test_deep(tmp_path: Path) -> None:
    depth = 4000
    layer = write(tmp_path / "layer.tar", item(b"d/" * depth + b"f", content=b"deep"))

    def look(at: Path) -> bytes:
        fd = os.open(at, os.O_RDONLY)
        for _ in range(depth):
            below = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        with open(os.open("f", os.O_RDONLY, dir_fd=fd), "rb") as f:
            return f.read()

    assert mounted(layer, look) == b"deep"


@pytest.mark.parametrize(
    "form", ["gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix"]
)
def test_sparse(tmp_path: Path, form: str) -> None:
    """Holes are holes, in all forms that GNU tar gives them."""
    files = tmp_path / "files"
    files.mkdir()
    for name, size, pieces in (
        ("hole", 1 << 40, []),
        ("end", (1 << 20) + 7, [(0, b"a" * 100), (1 << 19, b"b" * 5000)]),
        ("full", 70000, [(69000, b"c" * 1000)]),
        ("many", 300 << 20, [(n << 20, b"%d" % n) for n in range(0, 300, 4)]),
    ):
        with open(files / name, "wb") as f:
            for at, content in pieces:
                f.seek(at)
                f.write(content)
            f.truncate(size)
    layer = tmp_path / "layer.tar"
    subprocess.run(
        ["tar", "-C", files, "-S", *f"--format={form}".split(), "-cf", layer, "."], check=True
    )

    def look(at: Path) -> list[tuple[int, bytes]]:
        found = []
        for file in sorted(at.iterdir()):
            with open(file, "rb") as f:
                if file.name != "hole":  # it would take hours
                    found.append((file.stat().st_size, hashlib.file_digest(f, "sha256").digest()))
                else:
                    f.seek(-4096, os.SEEK_END)
                    found.append((file.stat().st_size, f.read()))
        return found

    assert mounted(layer, look) == look(files)


@pytest.mark.parametrize(
    "refused",
    [
        item(b"f", content=b"x" * 600, xattrs={b"user.large": bytes(1 << 16)}),
        item(b"f", xattrs={b"user.": b""}),
        item(b"l", tar.SYMLINK, link=b"f", xattrs={b"user.u": b""}),
        item(b"f", mode=0o600, xattrs={posix_acl.ACCESS: acl(0o644, 1000)}),
        item(b"f", mode=0o644, xattrs={posix_acl.ACCESS: b"rubbish"}),
        item(b"f", mode=0o644, xattrs={posix_acl.DEFAULT: acl(0o644, 1000)}),
        item(b"f", xattrs={b"trusted.%d" % n: bytes(60000) for n in range(5)}),
    ],
)
def test_not_mountable(tmp_path: Path, refused: Item) -> None:
    """What the kernel would not have as it stands, when written, is left to be unpacked."""
    layer = write(tmp_path / "layer.tar", refused)
    with pytest.raises(NotMountable):
        indexed(layer)


@pytest.mark.parametrize("case", [*REFUSED, *BROKEN, *LIES])
def test_refused(tmp_path: Path, case: str) -> None:
    """What cannot be unpacked is not mounted either: for the same reason, or for one of its own."""
    items = REFUSED[case][0] if case in REFUSED else [BROKEN[case]] if case in BROKEN else []
    if case in LIES:
        items = [sparse("1.0", b"f", 100, [(0, b"abcd"), (10, b"efgh")], said=LIES[case])]
    layer = write(tmp_path / "layer.tar", *items)
    (tmp_path / "into").mkdir()
    with opened(layer) as source, pytest.raises(FerryError) as refused:
        extract(source, str(tmp_path / "into"))
    with pytest.raises((FerryError, NotMountable)) as also:
        indexed(layer)
    assert str(also.value) == str(refused.value) or also.type is NotMountable


def test_odd_pieces(tmp_path: Path) -> None:
    """Pieces of a sparse file that are no whole blocks cannot be mapped."""
    odd = sparse("0.1", b"f", 2000, [(0, b"abc"), (1000, b"def")])
    layer = write(tmp_path / "layer.tar", odd)
    with pytest.raises(NotMountable):
        indexed(layer)
    assert unpacked(layer)[b"f"].size == 2000


def test_same_bytes(tmp_path: Path) -> None:
    """The same layer gives the same index."""
    layer = write(
        tmp_path / "layer.tar", item(b"a/b", content=b"x"), item(b"a/.wh.c"), folder(b"d")
    )
    first = indexed(layer).read_bytes()
    assert indexed(layer).read_bytes() == first
    assert len(first) % 4096 == 0


def test_under_overlay(tmp_path: Path) -> None:
    """Whiteouts and opaque folders hide what is below."""
    lower = write(
        tmp_path / "lower.tar",
        *(item(name, content=b"lower") for name in (b"a/x", b"a/y", b"b/x", b"c/x", b"c/y")),
    )
    upper = write(
        tmp_path / "upper.tar",
        item(b"a/.wh.x"),
        item(b"b/.wh..wh..opq"),
        item(b"b/z", content=b"upper"),
        item(b".wh.c"),
        item(b"c/x", content=b"upper"),
    )
    at = tmp_path / "merged"
    at.mkdir()

    def look(upper_at: Path) -> dict[str, bytes]:
        with ExitStack() as stack:
            index = lower.with_suffix(".erofs")
            lower_at = lower.with_suffix(".mounted")
            devices = [
                stack.enter_context(loop.opened(str(path), f"{path}.loop"))
                for path in (index, lower)
            ]
            syscalls.mount(
                devices[0], str(lower_at), "erofs", syscalls.MS_RDONLY, f"device={devices[1]}"
            )
        syscalls.mount("overlay", str(at), "overlay", 0, f"lowerdir={upper_at}:{lower_at}")
        return {
            str(path.relative_to(at)): path.read_bytes() for path in at.rglob("*") if path.is_file()
        }

    indexed(lower)
    lower.with_suffix(".mounted").mkdir()
    assert mounted(upper, look) == {"a/y": b"lower", "b/z": b"upper", "c/x": b"upper"}


@pytest.mark.slow
def test_a_million_files(tmp_path: Path) -> None:
    """Memory is bounded, and the root is found however many there are."""
    layer = tmp_path / "layer.tar"
    with open(layer, "wb") as f:
        for number in range(1000):
            f.write(tar.header(folder(b"d%03d" % number).member))
            plain = bytearray(tar.header(item(b"d%03d/f000" % number).member))
            total = sum(plain) - sum(plain[148:156]) + 8 * 32 - 3 * ord("0")
            for n in range(999):
                digits = b"%03d" % n
                plain[6:9] = digits
                plain[148:156] = b"%06o\0 " % (total + sum(digits))
                f.write(plain)
        f.write(tar.END)

    def memory() -> int:
        # What this process had before is not the index's.
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        indexed(layer)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    def look(at: Path) -> tuple[int, int]:
        return len(os.listdir(at)), sum(len(os.listdir(folder)) for folder in at.iterdir())

    assert apart(memory) < 700 << 10  # KiB
    assert mounted(layer, look) == (1000, 999_000)
