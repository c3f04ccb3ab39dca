"""Tar headers: what is written reads back, and what others write is read as they meant it."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.archive import tar
from ferryman.archive.stream import BytesStream
from ferryman.archive.tar import Member
from ferryman.errors import InvalidArchive

LIMIT = 1000


def plain(name: bytes = b"name", **fields: Any) -> Member:
    member = Member(name, tar.FILE, 0, b"", 0o644, 0, 0, 0, (0, 0), {}, 0)
    return member._replace(**fields)


def read(content: bytes, limit: int = LIMIT) -> list[Member]:
    return list(tar.members(BytesStream(content), "it", limit))


def archive(*members: Member) -> bytes:
    """Return a tar of these members; the content of files is zeros."""
    return b"".join(tar.header(m) + bytes(tar.padded(m.size)) for m in members) + tar.END


def own(member: Member) -> Member:
    """Return what a member says by itself: without the records that stand for its fields."""
    fields = (b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime")
    return member._replace(
        pax={key: value for key, value in member.pax.items() if key not in fields}, offset=0
    )


names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name)
file_names = names.filter(lambda name: not name.endswith(b"/"))
xattrs = st.dictionaries(
    st.binary(min_size=1, max_size=20).map(lambda key: b"SCHILY.xattr." + key.replace(b"=", b"-")),
    st.binary(min_size=1, max_size=300),
    max_size=3,
)
files = st.builds(plain, file_names, size=st.integers(0, 3000))
others = st.one_of(
    st.builds(plain, names, type=st.sampled_from([tar.FOLDER, tar.FIFO])),
    st.builds(plain, names, type=st.sampled_from([tar.SYMLINK, tar.HARDLINK]), link=names),
    st.builds(
        plain,
        names,
        type=st.sampled_from([tar.CHARACTER, tar.BLOCK_DEVICE]),
        device=st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1)),
    ),
)
any_members = st.builds(
    Member._replace,
    files | others,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 10) | st.integers(0, 2**62 - 1),
    gid=st.integers(0, 10) | st.integers(0, 2**62 - 1),
    mtime_ns=st.integers(-(2**34), 2**34).map(lambda s: s * 10**9) | st.integers(-(2**64), 2**64),
    pax=xattrs,
)


@given(st.lists(any_members, max_size=5))
def test_what_is_written_reads_back(members: list[Member]) -> None:
    assert [own(member) for member in read(archive(*members))] == members


@given(st.integers(0, 2**62 - 1))
def test_any_size_reads_back(size: int) -> None:
    member = plain(size=size)
    header = tar.header(member)
    assert own(next(tar.members(BytesStream(header), "it", LIMIT))) == member


def test_a_header_is_one_block_unless_more_is_needed() -> None:
    small = plain(b"n" * 100, link=b"l" * 100, uid=8**7 - 1, gid=8**7 - 1, size=8**11 - 1)
    assert len(tar.header(small)) == 512
    for bigger in (
        small._replace(name=b"n" * 101),
        small._replace(link=b"l" * 101),
        small._replace(uid=8**7),
        small._replace(size=8**11),
        small._replace(mtime_ns=1),
        small._replace(mtime_ns=-(10**9)),
    ):
        assert len(tar.header(bigger)) == 3 * 512


@given(st.lists(any_members.filter(lambda m: m.uid < 2**31 and m.gid < 2**31), max_size=3))
def test_python_reads_what_is_written(members: list[Member]) -> None:
    with tarfile.open(
        fileobj=io.BytesIO(archive(*members)), errors="surrogateescape", encoding="utf-8"
    ) as theirs:
        for ours, seen in zip(members, theirs, strict=True):
            # Python takes the slash from a folder's name, and never gives an empty one.
            assert seen.name.encode("utf-8", "surrogateescape").rstrip(b"/") == ours.name.rstrip(
                b"/"
            )
            assert seen.type == ours.type
            assert seen.size == ours.size
            assert (seen.mode, seen.uid, seen.gid) == (ours.mode, ours.uid, ours.gid)
            assert seen.mtime == pytest.approx(ours.mtime_ns / 1e9)
            if ours.link:
                assert seen.linkname.encode("utf-8", "surrogateescape") == ours.link
            if ours.device != (0, 0):
                assert (seen.devmajor, seen.devminor) == ours.device


def info(name: str, **fields: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def written_by_python(*infos: tarfile.TarInfo, **how: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **how) as theirs:
        for each in infos:
            theirs.addfile(each, io.BytesIO(bytes(each.size)))
    return out.getvalue()


FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("form", FORMATS)
def test_written_by_python(form: str) -> None:
    long = "folder/" * 30 + "näme"
    infos = [
        info("plain", size=700, mode=0o4755, uid=1000, gid=8**7 - 1, mtime=1_700_000_000),
        info("größe/file", size=512),
        info(long[-220:] if form == "ustar" else long, size=1),
        info("folder", type=tarfile.DIRTYPE, mode=0o755),
        info("symbolic", type=tarfile.SYMTYPE, linkname="l" * 100),
        info("hard", type=tarfile.LNKTYPE, linkname="plain"),
        info("console", type=tarfile.CHRTYPE, devmajor=5, devminor=1),
        info("disk", type=tarfile.BLKTYPE, devmajor=259, devminor=1 << 18),
        info("pipe", type=tarfile.FIFOTYPE),
    ]
    if form != "ustar":
        infos.append(info("huge", uid=2**31, gid=2**40, linkname="x" * 300, type=tarfile.SYMTYPE))
    content = written_by_python(*infos, format=FORMATS[form])
    for ours, theirs in zip(read(content), infos, strict=True):
        assert ours.name.rstrip(b"/") == theirs.name.encode()
        assert (ours.type, ours.size, ours.mode) == (theirs.type, theirs.size, theirs.mode)
        assert (ours.uid, ours.gid, ours.link) == (
            theirs.uid,
            theirs.gid,
            theirs.linkname.encode(),
        )
        assert ours.mtime_ns == theirs.mtime * 10**9
        assert ours.device == (theirs.devmajor, theirs.devminor)


def test_times_and_xattrs_in_pax_records() -> None:
    records = {"mtime": "-1.000000001", "SCHILY.xattr.user.ü": "wert\n=%", "comment": "no"}
    (member,) = read(written_by_python(info("a", pax_headers=records)))
    assert member.mtime_ns == -(10**9) - 1
    assert member.pax["SCHILY.xattr.user.ü".encode()] == b"wert\n=%"


def test_global_records_are_for_all_and_own_ones_come_first() -> None:
    content = written_by_python(
        info("a"),
        info("b", pax_headers={"mtime": "2.5"}),
        format=tarfile.PAX_FORMAT,
        pax_headers={"mtime": "1.5", "comment": "of all"},
    )
    # Python puts its own mtime into the block; only the records differ.
    first, second = read(content)
    assert (first.mtime_ns, second.mtime_ns) == (1_500_000_000, 2_500_000_000)
    assert first.pax[b"comment"] == second.pax[b"comment"] == b"of all"


def record(key: bytes, value: bytes) -> bytes:
    return tar._record(key, value)


def extended(kind: bytes, content: bytes) -> bytes:
    return tar._block(name=b"x", type=kind, size=len(content)) + content.ljust(
        tar.padded(len(content)), b"\0"
    )


def test_an_empty_record_takes_nothing_away() -> None:
    """As Go's and so docker's reader has it: the header's own field counts."""
    fields = (b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime")
    empty = extended(b"x", b"".join(record(field, b"") for field in fields))
    member = plain(b"a", size=3, uid=4, gid=5, mtime_ns=6 * 10**9)
    (seen,) = read(empty + archive(member))
    assert own(seen) == member


def test_a_records_path_comes_before_gnus_long_name() -> None:
    content = extended(b"L", b"long\0") + extended(b"x", record(b"path", b"pax")) + archive(plain())
    assert [member.name for member in read(content)] == [b"pax"]
    content = extended(b"K", b"there\0") + archive(plain(type=tar.SYMLINK, link=b"here"))
    assert [member.link for member in read(content)] == [b"there"]


def test_an_extension_is_for_the_next_member_alone() -> None:
    content = extended(b"L", b"long\0") + archive(plain(b"a"), plain(b"b"))
    assert [member.name for member in read(content)] == [b"long", b"b"]


def block(**fields: bytes) -> bytes:
    """Return a header with some fields put in by hand, its checksum made right."""
    places = {
        "name": 0, "mode": 100, "uid": 108, "gid": 116, "size": 124, "mtime": 136, "type": 156,
        "link": 157, "magic": 257, "major": 329, "minor": 337, "prefix": 345, "sparse": 386,
    }  # fmt: skip
    content = bytearray(tar.header(plain()))
    for field, value in fields.items():
        content[places[field] : places[field] + len(value)] = value
    return summed(content)


def summed(content: bytearray) -> bytes:
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    return bytes(content)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("size", b"00000000000\0", 0),
        ("size", b"     0      ", 0),
        ("size", b"          7 ", 7),
        ("size", b"7\0garbage\0\0\0", 7),
        ("size", bytes(12), 0),
        ("size", b"777777777777", 8**12 - 1),
        ("size", b"\x80" + bytes(10) + b"\x07", 7),
        ("size", b"\x80" + bytes(3) + (2**62 - 1).to_bytes(8, "big"), 2**62 - 1),
        ("mtime", b"\xff" * 12, -(10**9)),
        ("mtime", b"\x80" + bytes(6) + (2**34).to_bytes(5, "big"), 2**34 * 10**9),
        ("uid", b"\x80" + (2**40).to_bytes(7, "big"), 2**40),
        ("mode", b"100644 \0", 0o644),
    ],
)
def test_numbers_in_all_their_forms(field: str, value: bytes, expected: int) -> None:
    member = next(tar.members(BytesStream(block(**{field: value})), "it", LIMIT))
    assert getattr(member, "mtime_ns" if field == "mtime" else field) == expected


def test_a_prefix_is_part_of_an_ustar_name_only() -> None:
    content = block(name=b"file\0", prefix=b"folder\0")
    assert read(content + tar.END)[0].name == b"folder/file"
    content = block(name=b"file\0", prefix=b"folder\0", magic=b"ustar  \0")
    assert read(content + tar.END)[0].name == b"file"


def test_the_oldest_form() -> None:
    content = block(magic=bytes(255), type=b"\0") + block(
        magic=bytes(255), type=b"\0", name=b"folder/\0"
    )
    file, folder = read(content + tar.END)
    assert (file.type, folder.type) == (tar.FILE, tar.FOLDER)
    assert folder.name == b"folder/"


def test_a_checksum_of_signed_bytes() -> None:
    content = bytearray(tar.header(plain(b"\xfc\xff\xe9")))
    content[148:156] = b" " * 8
    signed = sum(byte - 256 * (byte > 127) for byte in content)
    content[148:156] = b"%06o\0 " % signed
    assert read(bytes(content) + tar.END)[0].name == b"\xfc\xff\xe9"


def test_only_files_have_content() -> None:
    content = block(type=tar.HARDLINK, link=b"there", size=b"00000001000\0") + archive(plain(b"b"))
    assert [(m.name, m.size) for m in read(content)] == [(b"name", 0), (b"b", 0)]


REFUSED = {
    "empty": (b"", "it is empty"),
    "no tar": (b"hello, world\n" * 100, "it is not a tar archive"),
    "half a header": (tar.header(plain())[:300], "or truncated: it has 300 bytes"),
    "no tar but zeros": (bytes(700), "it is truncated"),
    "no end marker": (tar.header(plain()), "before the end marker, at byte 512"),
    "half an end marker": (tar.header(plain()) + bytes(1023), "end marker, at byte 1024"),
    "half an end": (tar.header(plain()) + bytes(512) + b"x" * 512, "before the end marker"),
    "cut content": (archive(plain(size=600))[:1500], "it is truncated"),
    "a wrong checksum": (b"x" + archive(plain())[1:], "it is not a tar archive"),
    "a second header": (
        tar.header(plain()) + b"y" * 512,
        "not a tar header (its checksum is wrong) at byte 512",
    ),
    "a checksum that is no number": (
        tar.header(plain()) + tar.header(plain())[:148] + b"\xff" * 364,
        "not a tar header",
    ),
    "an unknown type": (block(type=b"Z") + tar.END, "unknown member type 'Z'"),
    "a size that is no number": (block(size=b"12x") + tar.END, "not a number"),
    "a size with a sign": (block(size=b"-0000000001\0") + tar.END, "not a number"),
    "a negative size": (block(size=b"\xff" * 12) + tar.END, "impossible size -1"),
    "a size of 2^62": (
        block(size=b"\x80" + bytes(3) + (2**62).to_bytes(8, "big")) + tar.END,
        "impossible size 4611686018427387904",
    ),
    "a size of 2^62 - 1": (
        block(size=b"\x80" + bytes(3) + (2**62 - 1).to_bytes(8, "big")) + tar.END,
        "it is truncated",
    ),
    "a negative owner": (block(uid=b"\xff" * 8) + tar.END, "impossible owner -1:0"),
    "a negative group": (block(gid=b"\xff" * 8) + tar.END, "impossible owner 0:-1"),
    "a time beyond all time": (
        block(mtime=b"\x80\x7f" + bytes(10)) + tar.END,
        "impossible mtime",
    ),
    "an impossible device": (
        block(type=tar.CHARACTER, major=b"\x80" + (8**7).to_bytes(7, "big")) + tar.END,
        "impossible device 2097152:0",
    ),
    "no name": (block(name=bytes(100)) + tar.END, "member without a name"),
    "a long name with a NUL": (extended(b"L", b"a\0b") + archive(plain()), "NUL character"),
    "a path with a NUL": (extended(b"x", record(b"path", b"a\0b")) + archive(plain()), "NUL"),
    "a link with a NUL": (extended(b"x", record(b"linkpath", b"\0")) + archive(plain()), "NUL"),
    "a record's size": (
        extended(b"x", record(b"size", b"-1")) + archive(plain()),
        "impossible size '-1'",
    ),
    "a record's huge size": (
        extended(b"x", record(b"size", b"%d" % 2**62)) + archive(plain()),
        "impossible size",
    ),
    "a record's endless size": (
        extended(b"x", record(b"size", b"9" * 5000)) + archive(plain()),
        "impossible size",
    ),
    "a record's uid": (extended(b"x", record(b"uid", b"1e3")) + archive(plain()), "impossible uid"),
    "a record's mtime": (
        extended(b"x", record(b"mtime", b"1.2.3")) + archive(plain()),
        "impossible mtime '1.2.3'",
    ),
    "a record without a length": (extended(b"x", b"path=a\n") + archive(plain()), "invalid pax"),
    "a record that is too short": (extended(b"x", b"3 path=a\n") + archive(plain()), "invalid pax"),
    "a record that is too long": (extended(b"x", b"99 path=a\n") + archive(plain()), "invalid pax"),
    "a record of no length": (extended(b"x", b"0 a=b\n") + archive(plain()), "invalid pax"),
    "a record without a value": (extended(b"x", b"5 ab\n") + archive(plain()), "invalid pax"),
    "an extension of 2 MiB": (
        extended(b"x", record(b"a", b"b" * (2 << 20))) + archive(plain()),
        "extended header of 2097163 bytes is too large",
    ),
    "a long name of 1 TiB": (
        block(type=b"L", size=b"\x80" + bytes(3) + (1 << 40).to_bytes(8, "big")),
        "extended header of 1099511627776 bytes is too large",
    ),
    "large global records": (
        extended(b"g", record(b"a", b"b" * 3000)) + extended(b"g", record(b"b", b"c" * 3000)),
        "global headers of more than 4096 bytes",
    ),
    "an extension at the end": (extended(b"x", record(b"a", b"b")), "it is truncated"),
    "half an extension": (extended(b"x", record(b"a", b"b" * 600))[:1000], "it is truncated"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    content, words = REFUSED[case]
    with pytest.raises(InvalidArchive) as raised:
        read(content)
    assert str(raised.value).startswith("it ") or str(raised.value).startswith("it: ")
    assert words in str(raised.value)


def test_too_many_members() -> None:
    content = archive(*[plain()] * 11)
    assert len(read(content, limit=11)) == 11
    with pytest.raises(InvalidArchive, match="it has more than 10 members"):
        read(content, limit=10)


def test_many_extensions_in_a_row_take_no_memory() -> None:
    """Each is for the next member; only the last one of a kind can be."""
    one = extended(b"x", record(b"a", b"1")) + extended(b"x", record(b"b", b"2"))
    assert [member.pax for member in read(one + archive(plain()))] == [{b"b": b"2"}]


def test_cut_at_any_byte() -> None:
    content = archive(plain(b"n" * 120, size=700, mtime_ns=1), plain(type=tar.SYMLINK, link=b"l"))
    assert len(read(content)) == 2
    for length in range(len(content)):
        with pytest.raises(InvalidArchive, match=r"truncated|is empty"):
            read(content[:length])


def outcome(do: Callable[[], object]) -> str:
    """Return the words of the refusal, or none."""
    try:
        do()
    except InvalidArchive as e:
        return str(e)
    return ""


def checked(content: bytes, cuts: list[int]) -> str:
    def look() -> None:
        check = tar.Check("it", LIMIT)
        edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
        for start, end in pairwise(edges):
            check.see(memoryview(content)[start:end])
        check.finish()

    return outcome(look)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A tar that may be cut, or have some bytes changed."""
    content = bytearray(archive(*draw(st.lists(any_members, max_size=4))))
    for place, byte in draw(st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3)):
        content[place % len(content)] = byte
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


@given(spoiled(), st.lists(st.integers(0), max_size=10))
def test_the_check_in_passing_sees_what_members_sees(content: bytes, cuts: list[int]) -> None:
    assert checked(content, cuts) == outcome(lambda: read(content))


def in_a_file(content: bytes, size: int) -> list[Member]:
    fd = os.memfd_create("tar")
    try:
        os.write(fd, content)
        return list(tar.members_in(fd, size, "it", LIMIT))
    finally:
        os.close(fd)


@given(spoiled())
def test_in_a_file_as_in_a_stream(content: bytes) -> None:
    why = outcome(lambda: read(content))
    assert outcome(lambda: in_a_file(content, len(content))) == why
    assert why or in_a_file(content, len(content)) == read(content)


@pytest.mark.parametrize("size", [0, 100, 512, 1000, 2000, 2100, 2560, 3000, 3072])
def test_what_is_behind_the_size_of_a_file_is_not_looked_at(size: int) -> None:
    content = archive(plain(b"a", size=700), plain(b"b"))
    why = outcome(lambda: read(content[:size]))
    assert outcome(lambda: in_a_file(content, size)) == why
    assert bool(why) == (size < 3072)


@given(spoiled())
def test_byte_by_byte_too(content: bytes) -> None:
    content = content[:3000]
    assert checked(content, list(range(len(content)))) == outcome(lambda: read(content))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with all that a tar can say of them, but for what only root can make."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a").write_bytes(b"x" * 700)
    os.link(root / "a", root / "b")
    (root / "c").symlink_to("/somewhere/" + "else/" * 30)
    os.mkfifo(root / "d", 0o620)
    folder = root / ("e" * 120) / ("f" * 120)
    folder.mkdir(parents=True)
    (folder / "größe").write_bytes(b"")
    with open(os.path.join(os.fsencode(root), b"not\xfftext\n"), "wb"):
        pass
    for n, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + n), follow_symlinks=False)
    return root


def gnu_tar(root: Path, *flags: str) -> bytes:
    command = ["tar", *flags, "--sort=name", "-C", str(root), "-cf", "-", "."]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def paths(root: Path) -> Iterator[bytes]:
    yield b"."
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            yield os.path.relpath(os.path.join(folder, name), os.fsencode(root))


@pytest.mark.parametrize("form", ["v7", "ustar", "oldgnu", "gnu", "posix"])
def test_written_by_gnu_tar(form: str, tree: Path) -> None:
    if form in ("v7", "ustar"):  # they have no room for these
        (tree / "c").unlink()
        (tree / "c").symlink_to("b")
        (tree / ("e" * 120)).rename(tree / "e")
        (tree / "e" / ("f" * 120)).rename(tree / "e" / ("f" * 90))
    if form == "v7":
        (tree / "d").unlink()
        (tree / "e" / ("f" * 90)).rename(tree / "e" / "f")
    seen = {os.path.normpath(m.name): m for m in read(gnu_tar(tree, f"--format={form}"))}
    assert set(seen) == set(paths(tree))
    types = {0o100000: tar.FILE, 0o040000: tar.FOLDER, 0o120000: tar.SYMLINK, 0o010000: tar.FIFO}
    for path, member in seen.items():
        status = os.lstat(os.path.join(os.fsencode(tree), path))
        if member.type == tar.HARDLINK:
            assert (path, os.path.normpath(member.link)) == (b"b", b"a")
            continue
        assert member.type == types[status.st_mode & 0o170000]
        assert member.mode == status.st_mode & 0o7777
        assert (member.uid, member.gid) == (status.st_uid, status.st_gid)
        ours, theirs = member.mtime_ns, status.st_mtime_ns
        assert ours == (theirs if form == "posix" else theirs // 10**9 * 10**9)
        assert member.size == (status.st_size if member.is_file else 0)
        if member.type == tar.SYMLINK:
            assert member.link == os.readlink(os.path.join(os.fsencode(tree), path))


SPARSE = {
    "gnu": ("--format=gnu",),
    "pax 0.0": ("--format=posix", "--sparse-version=0.0"),
    "pax 0.1": ("--format=posix", "--sparse-version=0.1"),
    "pax 1.0": ("--format=posix", "--sparse-version=1.0"),
}


@pytest.mark.parametrize("pieces", [0, 1, 4, 5, 30, 60])
@pytest.mark.parametrize("form", SPARSE)
def test_a_sparse_file_of_gnu_tar(form: str, pieces: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with (tmp_path / "b").open("wb") as sparse:
        for n in range(pieces):
            sparse.seek(n * 200_000)
            sparse.write(b"data" * 2000)
        sparse.truncate(20_000_000)
    (tmp_path / "c").write_bytes(b"after")
    # Looking for zeros finds the holes on every filesystem.
    content = gnu_tar(tmp_path, "--sparse", "--hole-detection=raw", *SPARSE[form])
    assert len(content) < 2_000_000
    seen = {member.name: member for member in read(content)}
    assert list(seen) == [b"./", b"./a", b"./b", b"./c"]
    for name, text in ((b"./a", b"before"), (b"./c", b"after")):
        place = slice(seen[name].offset, seen[name].offset + seen[name].size)
        assert content[place] == text
    assert checked(content, [1000, 2000, 512 * 3, 512 * 5]) == ""


def test_gnu_tar_unpacks_what_is_written(tmp_path: Path) -> None:
    members = [
        plain(b"n\xffn" * 60, size=5, mtime_ns=1_600_000_000_123_456_789, mode=0o640),
        plain(b"folder/", type=tar.FOLDER, mode=0o750),
        plain(b"folder/link", type=tar.SYMLINK, link=b"t" * 150),
        plain(b"folder/again", type=tar.HARDLINK, link=b"n\xffn" * 60),
    ]
    content = tar.header(members[0]) + b"hello".ljust(512, b"\0") + archive(*members[1:])
    subprocess.run(["tar", "-C", tmp_path, "-xpf", "-"], input=content, check=True)
    root = os.fsencode(tmp_path)
    status = os.stat(os.path.join(root, members[0].name))
    assert status.st_mtime_ns == members[0].mtime_ns
    assert (status.st_mode & 0o7777, status.st_nlink) == (0o640, 2)
    assert (tmp_path / "folder").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "folder/again").read_bytes() == b"hello"
    assert os.readlink(tmp_path / "folder/link") == "t" * 150
