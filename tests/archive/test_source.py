"""One contract, three sources: a tar in a file, a tar that goes by, a folder."""

import io
import os
import random
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.archives import WHOLE, Link, packed, unpacked
from tests.images import member, tar_of

from ferryman.archive import source as sources
from ferryman.archive.intake import nothing
from ferryman.archive.source import FolderSource, Source, SpooledSource, TarSource
from ferryman.archive.stream import BytesStream
from ferryman.errors import InvalidArchive, StoreError
from ferryman.image import digest
from ferryman.image.decode import MAX_JSON
from ferryman.store import blobs
from ferryman.store.lease import Lease

Parts = Mapping[str, bytes | Link]
Opened = Callable[[Parts], Source]

LARGE = random.Random(1).randbytes(100_000)
PARTS: Parts = {
    "document.json": b'{"a":1}',
    "folder/large": LARGE,
    "folder/small": b"small",
    "link": Link("folder/large"),
    "folder/link": Link("../document.json"),
    "folder/to-link": Link("../link"),
    "hard": Link("folder/small", hard=True),
}


def in_a_file(content: bytes) -> TarSource:
    fd = os.memfd_create("archive")
    with open(fd, "wb", closefd=False) as out:
        out.write(content)
    return TarSource(fd, "it")


@pytest.fixture(params=["file", "pipe", "folder"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, lease: Lease) -> Opened:
    """Opens parts as each kind of source in turn."""
    kinds: dict[str, Opened] = {
        "file": lambda parts: in_a_file(packed(parts)),
        "pipe": lambda parts: SpooledSource(BytesStream(packed(parts)), "it", lease),
        "folder": lambda parts: FolderSource(str(unpacked(parts, tmp_path / "folder")), "it"),
    }
    return kinds[request.param]


@pytest.fixture(params=["file", "pipe"])
def read(request: pytest.FixtureRequest, lease: Lease) -> Callable[[bytes], Source]:
    """Opens a tar as each kind of source in turn."""
    kinds: dict[str, Callable[[bytes], Source]] = {
        "file": in_a_file,
        "pipe": lambda content: SpooledSource(BytesStream(content), "it", lease),
    }
    return kinds[request.param]


def test_parts_by_their_names(opened: Opened) -> None:
    source = opened(PARTS)
    assert source.document("document.json") == b'{"a":1}'
    assert source.document("./document.json") == b'{"a":1}'
    assert source.document("folder//small") == b"small"
    assert source.document("nothing") is None
    assert source.find("nothing") is None
    assert source.find("folder/nothing") is None
    for name, size in (("folder/large", len(LARGE)), ("folder/small", 5)):
        found = source.find(name)
        assert found == name
        assert source.size(found) == size


def test_links_are_followed(opened: Opened) -> None:
    source = opened(PARTS)
    assert source.find("link") == source.find("folder/large")
    assert source.find("folder/to-link") == source.find("folder/large")
    assert source.document("folder/link") == b'{"a":1}'
    assert source.document("hard") == b"small"


@pytest.mark.parametrize("name", ["folder/large", "folder/small", "link"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_parts_are_taken_in(name: str, algorithm: str, opened: Opened, lease: Lease) -> None:
    source = opened(PARTS)
    content = b"small" if name == "folder/small" else LARGE
    running = digest.hasher(algorithm)
    running.update(content)
    found = source.find(name)
    assert found is not None
    if algorithm == "sha256" or not isinstance(source, SpooledSource):
        taken = source.layer(found, lease, algorithm, nothing)
        assert taken.digest == digest.finished(running, algorithm)
        assert taken.diff_id == digest.of(content)
        taken = source.blob(found, lease, algorithm, nothing)
        assert taken.digest == digest.finished(running, algorithm)
        assert Path(taken.path).read_bytes() == content


def test_a_pipes_blob_is_taken_by_the_digest_that_it_is_named_by(lease: Lease) -> None:
    running = digest.hasher("sha512")
    running.update(LARGE)
    name = f"blobs/sha512/{running.hexdigest()}"
    source = SpooledSource(BytesStream(packed({name: LARGE})), "it", lease)
    assert source.layer(name, lease, "sha512", nothing).digest == f"sha512:{name[13:]}"


def test_a_document_may_not_be_large(opened: Opened) -> None:
    source = opened({"large.json": bytes(MAX_JSON + 1)})
    with pytest.raises(InvalidArchive, match=r"it: large.json has \d+ bytes, too many for a JSON"):
        source.document("large.json")


OUTSIDE = {
    "/etc/passwd": "it: absolute name '/etc/passwd'",
    "../outside": "it: name that leads outside the archive: '../outside'",
    "folder/../../outside": "it: name that leads outside the archive",
    "..": "it: name that leads outside the archive",
    "with\nnewline": "it: name with control characters: 'with\\nnewline'",
    "with\x1b[2J": "it: name with control characters: 'with\\x1b[2J'",
    "with\x7f": "it: name with control characters",
    "n" * 2000: "it: name of 2000 characters",
}


@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: ascii(name)[:30])
def test_a_name_that_is_looked_for(name: str, opened: Opened) -> None:
    source = opened(PARTS)
    for look in (source.find, source.document):
        with pytest.raises(InvalidArchive) as raised:
            look(name)
        assert str(raised.value).startswith(OUTSIDE[name])


@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: ascii(name)[:30])
def test_a_members_name(name: str, read: Callable[[bytes], Source]) -> None:
    with pytest.raises(InvalidArchive) as raised:
        read(tar_of(member("a"), member(name)))
    assert str(raised.value).startswith(OUTSIDE[name])


def test_a_name_that_is_no_text(read: Callable[[bytes], Source]) -> None:
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", encoding="utf-8", errors="surrogateescape", format=tarfile.GNU_FORMAT
    ) as archive:
        archive.addfile(tarfile.TarInfo("not\udcfftext"))
    assert read(out.getvalue()).find("not\udcfftext") == "not\udcfftext"


LINKS: dict[str, Parts] = {
    "to an absolute name": {"a": Link("/etc/passwd")},
    "to the outside": {"a": Link("../outside")},
    "to the outside by detours": {"folder/a": Link("./b/../../../outside")},
    "hard to an absolute name": {"a": Link("/etc/passwd", hard=True)},
    "hard to the outside": {"a": Link("../outside", hard=True)},
    "with an escape sequence": {"a": Link("b\x1b]0;")},
}
CIRCLES: dict[str, Parts] = {
    "to itself": {"a": Link("a")},
    "hard to itself": {"a": Link("a", hard=True)},
    "round": {"a": Link("b"), "b": Link("c"), "c": Link("a", hard=True)},
    "on and on": {f"{n}": Link(f"{n + 1}") for n in range(40)} | {"40": b"end"},
}


@pytest.mark.parametrize("case", LINKS)
def test_a_link_that_leads_out_is_refused_unread(
    case: str, read: Callable[[bytes], Source]
) -> None:
    with pytest.raises(InvalidArchive, match=r"^it: (link .* points outside|absolute|name )"):
        read(packed(LINKS[case]))


@pytest.mark.parametrize("case", CIRCLES)
def test_links_in_a_circle(case: str, read: Callable[[bytes], Source]) -> None:
    with pytest.raises(InvalidArchive, match=r"^it: link '.*' leads round in a circle"):
        read(packed(CIRCLES[case]))


def test_a_link_to_nothing_is_nothing(opened: Opened) -> None:
    source = opened({"a": b"", "folder/b": Link("../nothing")})
    assert source.find("folder/b") is None
    assert source.document("folder/b") is None


@pytest.mark.parametrize(
    "kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_what_has_no_place_in_an_archive(kind: bytes, read: Callable[[bytes], Source]) -> None:
    with pytest.raises(InvalidArchive, match="it: 'odd' is neither a file, a folder nor a link"):
        read(tar_of(member("a"), member("odd", type=kind)))


DIFFER = "it: 'a' is there twice, with different content"


@pytest.mark.parametrize(
    "twice",
    [
        (member("a", b"one"), member("a", b"two")),
        (member("a", b"one"), member("./a", b"one more")),
        (member("a", LARGE), member("a", LARGE[::-1])),
        (member("a", LARGE), member("a", b"")),
        (member("a", b"one"), member("a", type=tarfile.SYMTYPE, linkname="b")),
        (member("a", type=tarfile.SYMTYPE, linkname="b"), member("a", b"one")),
        (
            member("a", type=tarfile.SYMTYPE, linkname="b"),
            member("a", type=tarfile.SYMTYPE, linkname="c"),
        ),
    ],
)
def test_members_of_one_name_that_differ(
    twice: tuple[tuple[tarfile.TarInfo, bytes], ...], read: Callable[[bytes], Source]
) -> None:
    with pytest.raises(InvalidArchive) as raised:
        read(tar_of(*twice))
    assert str(raised.value) == DIFFER


def test_members_of_one_name_that_are_the_same(read: Callable[[bytes], Source]) -> None:
    link = member("b", type=tarfile.SYMTYPE, linkname="a")
    source = read(tar_of(*[member("a", LARGE), link] * 2))
    assert source.find("b") == "a"
    assert source.size("a") == len(LARGE)


def test_too_many_members(read: Callable[[bytes], Source], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MAX_MEMBERS", 3)
    with pytest.raises(InvalidArchive, match="it has more than 3 members"):
        read(packed({str(n): b"" for n in range(4)}))


def test_a_pipes_small_parts_do_not_fill_the_memory(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_MAX_SMALL", 100)
    source = SpooledSource(BytesStream(packed({str(n): b"x" * 30 for n in range(9)})), "it", lease)
    assert len(os.listdir(lease.folder)) == 6
    assert [source.document(str(n)) for n in range(9)] == [b"x" * 30] * 9


def test_a_pipes_blob_that_is_here_is_passed_over(lease: Lease) -> None:
    here = blobs.put(lease, LARGE)
    name = f"blobs/sha256/{here.encoded}"
    source = SpooledSource(BytesStream(packed({name: LARGE, "copy": Link(name)})), "it", lease)
    assert os.listdir(lease.folder) == []
    assert source.find(name) == name
    assert source.size(name) == len(LARGE)
    assert source.document(name) == LARGE
    # Its diff ID may still be asked for: the store knows only the blobs of its own images.
    assert source.layer(name, lease, "sha256", nothing).diff_id == here


@pytest.mark.parametrize("form", ["bzip2", "xz"])
def test_a_blob_need_not_be_a_layer(form: str, opened: Opened, lease: Lease) -> None:
    """Nor is it unpacked then; as a layer it is, for want of a media type."""
    content = WHOLE[form](LARGE)
    name = f"blobs/sha256/{digest.of(content).encoded}"
    source = opened({name: content})
    taken = source.blob(name, lease, "sha256", nothing)
    assert (taken.digest, taken.size) == (digest.of(content), len(content))
    taken = source.layer(name, lease, "sha256", nothing)
    assert (taken.digest, taken.size) == (digest.of(LARGE), len(LARGE))


def test_a_pipe_is_listed_without_a_store() -> None:
    content = packed({**PARTS, "x": bytes(MAX_JSON + 1)})
    source = SpooledSource(BytesStream(content), "it", None)
    assert source.document("document.json") == b'{"a":1}'
    assert source.size("folder/large") == len(LARGE)
    assert source.size("x") == MAX_JSON + 1


def test_a_pipe_that_says_more_than_the_disk_holds(lease: Lease) -> None:
    huge = tarfile.TarInfo("huge")
    huge.size = 2**60
    with pytest.raises(StoreError, match="no room for it: huge in the store"):
        SpooledSource(BytesStream(huge.tobuf(tarfile.GNU_FORMAT)), "it", lease)
    with pytest.raises(InvalidArchive, match="it is truncated"):
        in_a_file(huge.tobuf(tarfile.GNU_FORMAT))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.write_text("a secret")
    folder = unpacked(PARTS, tmp_path / "folder")
    (folder / "out").symlink_to(outside)
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out", "it: 'out' points outside the folder"),
        ("up/outside", "it: 'up/outside' points outside the folder"),
        ("up", "it: 'up' points outside the folder"),
        ("", "it: '' points outside the folder"),
        ("folder", "it: 'folder' is not a file"),
        ("fifo", "it: 'fifo' is not a file"),
    ],
)
def test_a_folders_links_stay_within(name: str, words: str, folder: Path) -> None:
    source = FolderSource(str(folder), "it")
    with pytest.raises(InvalidArchive, match=words):
        source.find(name)
    assert source.find("loop") is None
    assert source.find("folder/" + "n" * 300) is None


def test_a_file_that_becomes_something_else_meanwhile(folder: Path, lease: Lease) -> None:
    source = FolderSource(str(folder), "it")
    found = source.find("folder/small")
    assert found is not None
    (folder / found).unlink()
    with pytest.raises(InvalidArchive, match="cannot read it: folder/small: No such file"):
        source.layer(found, lease, "sha256", nothing)
    (folder / found).symlink_to(folder.parent / "outside")
    with pytest.raises(InvalidArchive, match="cannot read it: folder/small: Too many levels"):
        source.layer(found, lease, "sha256", nothing)
    (folder / found).unlink()
    os.mkfifo(folder / found)
    with pytest.raises(InvalidArchive, match="cannot read it: folder/small: not a file any more"):
        source.layer(found, lease, "sha256", nothing)


def test_a_folder_reached_by_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to("folder")
    source = FolderSource(str(folder.parent / "link"), "it")
    assert source.document("document.json") == b'{"a":1}'
