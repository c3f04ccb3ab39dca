import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.archives import (
    FORMS,
    WHOLE,
    Link,
    Members,
    as_json,
    docker_25,
    docker_before_25,
    entry,
    oci,
    packed,
    source,
    unpacked,
)
from tests.images import made, small, tar_of

from ferryman.archive import read
from ferryman.archive.candidate import Candidate
from ferryman.archive.source import FolderSource, Source, SpooledSource, TarSource
from ferryman.errors import InvalidArchive
from ferryman.image import platform
from ferryman.store.lease import Lease

ONE = small("one", "one:1")
TWO = small("two", "two:1", "two:2")


def found(parts: Members, wanted: str = "") -> list[Candidate]:
    return read.candidates(source(parts), platform.parse(wanted) if wanted else None)


def names(candidates: list[Candidate]) -> list[list[str]]:
    return [[name.familiar for name in candidate.names] for candidate in candidates]


@pytest.mark.parametrize("form", FORMS)
def test_any_form(form: str) -> None:
    candidates = found(FORMS[form](ONE, TWO))
    assert names(candidates) == [["one:1"], ["two:1", "two:2"]]
    assert [candidate.image_id for candidate in candidates] == [ONE.id, TWO.id]


def test_both_forms_at_once_are_one_image() -> None:
    parts = docker_25(ONE)
    parts["manifest.json"] = as_json(
        [
            entry(f"blobs/sha256/{ONE.id[7:]}", made(names=[name]), _layers(ONE.diff_ids))
            for name in ("one:1", "one:2")
        ]
    )
    (candidate,) = found(parts)
    assert names([candidate]) == [["one:1", "one:2"]]
    assert candidate.target is not None


def _layers(diff_ids: list[str]) -> list[str]:
    return [f"blobs/sha256/{diff_id[7:]}" for diff_id in diff_ids]


def test_an_image_that_only_the_manifest_names() -> None:
    both: Members = {**oci(ONE), **docker_before_25(TWO)}
    assert names(found(both)) == [["one:1"], ["two:1", "two:2"]]


def test_neither_form() -> None:
    with pytest.raises(
        InvalidArchive, match=r"it: invalid archive: does not contain a manifest.json"
    ):
        found({"hello": b"world"})


def test_a_name_that_stands_for_two_images() -> None:
    again = small("three", "two:2")
    for form in (docker_before_25, docker_25, oci):
        with pytest.raises(InvalidArchive, match="it: the name two:2 stands for two images in it"):
            found(form(ONE, TWO, again))


def test_a_name_that_would_be_taken_for_an_id() -> None:
    with pytest.raises(InvalidArchive, match="it: the name sha256:1 would be taken for an ID"):
        found(docker_before_25(small("x", "sha256:1")))


def test_more_names_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_MAX_NAMES", 2)
    with pytest.raises(InvalidArchive, match="it has 3 names, at most 2 are read"):
        found(oci(ONE, TWO))


@pytest.mark.parametrize("form", FORMS)
def test_only_one_platform(form: str) -> None:
    arm = made(tar_of(), architecture="arm64", names=["arm:1"])
    amd = made(tar_of(), architecture="amd64", names=["amd:1"])
    assert names(found(FORMS[form](arm, amd), "linux/arm64")) == [["arm:1"]]
    with pytest.raises(InvalidArchive) as raised:
        found(FORMS[form](arm, amd), "linux/s390x")
    assert str(raised.value) == "it: requested platform(s) ([linux/s390x]) not found"


Opener = Callable[[bytes], tuple[int, Callable[[], None]]]


def as_file(content: bytes) -> tuple[int, Callable[[], None]]:
    fd = os.memfd_create("archive")
    with open(fd, "wb", closefd=False) as out:
        out.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd, lambda: os.close(fd)


def as_pipe(content: bytes) -> tuple[int, Callable[[], None]]:
    reading, writing = os.pipe()
    writer = threading.Thread(target=lambda: open(writing, "wb").write(content))
    writer.start()

    def close() -> None:
        writer.join(10)
        assert not writer.is_alive()
        os.close(reading)

    return reading, close


@pytest.mark.parametrize("compression", WHOLE)
@pytest.mark.parametrize("opener", [as_file, as_pipe])
def test_any_compression(compression: str, opener: Opener, lease: Lease) -> None:
    content = packed(docker_before_25(ONE), compression)
    pieces: list[int] = []
    totals: list[int] = []
    fd, close = opener(content)
    opened = read.source(fd, "it", lease, pieces.append, totals.append)
    assert isinstance(opened, TarSource if _read_in_place(compression, opener) else SpooledSource)
    assert names(read.candidates(opened)) == [["one:1"]]
    close()
    if isinstance(opened, SpooledSource):
        assert sum(pieces) == len(content)
        assert totals == ([len(content)] if opener == as_file else [])


def _read_in_place(compression: str, opener: Opener) -> bool:
    return compression == "none" and opener == as_file


@pytest.mark.parametrize("form", FORMS)
def test_a_folder(form: str, tmp_path: Path, lease: Lease) -> None:
    folder = unpacked(FORMS[form](ONE, TWO), tmp_path / "folder")
    with read.opened(str(folder)) as fd:
        opened = read.source(fd, "it", lease)
        assert isinstance(opened, FolderSource)
        assert names(read.candidates(opened)) == [["one:1"], ["two:1", "two:2"]]


def test_a_file_from_where_it_stands(tmp_path: Path, lease: Lease) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"something before" + packed(oci(ONE)))
    with path.open("rb") as f:
        f.seek(16)
        opened = read.source(f.fileno(), "it", lease)
        assert names(read.candidates(opened)) == [["one:1"]]


def test_whoever_writes_to_the_pipe_is_not_cut_off(lease: Lease) -> None:
    """tar and dd fill up to a whole record; what writes on gets no SIGPIPE for it."""
    fd, close = as_pipe(packed(oci(ONE)) + bytes(500_000))
    read.source(fd, "it", lease)
    close()


def read_whole(content: bytes, lease: Lease | None) -> Source:
    fd, close = as_file(content)
    try:
        return read.source(fd, "it", lease)
    finally:
        close()


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
def test_a_compressed_archive_is_read_to_its_very_end(compression: str, lease: Lease) -> None:
    content = packed({"a": b"b"}, compression)
    for cut in range(1, 24):
        with pytest.raises(InvalidArchive, match="damaged or truncated"):
            read_whole(content[:-cut], lease)
    with pytest.raises(InvalidArchive, match="damaged or truncated"):
        read_whole(content + b"something else", lease)


def test_a_compressed_archive_in_a_compressed_archive(lease: Lease) -> None:
    """Only one compression is undone: what is in there is no tar."""
    for inner in ("gzip", "zstd"):
        with pytest.raises(InvalidArchive, match="it is not a tar archive"):
            read_whole(WHOLE["gzip"](packed({"a": b"b"}, inner)), lease)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive) as raised, read.opened(f"{tmp_path}/nothing"):
        pass
    assert str(raised.value) == f"open {tmp_path}/nothing: no such file or directory"


def test_what_is_open_already_stays_open() -> None:
    fd, close = as_file(b"")
    with read.opened("it", fd) as opened:
        assert opened == fd
    close()


def test_links_are_the_parts_that_they_lead_to() -> None:
    parts: Mapping[str, bytes | Link] = {
        **docker_before_25(ONE),
        "manifest.json": Link("where/it/is"),
        "where/it/is": docker_before_25(ONE)["manifest.json"],
    }
    assert names(found({**parts})) == [["one:1"]]


def test_no_archive_at_all(lease: Lease) -> None:
    for content, words in (
        (b"", "it is empty"),
        (b"hello, world\n", "it is not a tar archive, or truncated: it has 13 bytes"),
        (b"\x89PNG" * 300, "it is not a tar archive"),
        (bytes(2000), "it: invalid archive: does not contain a manifest.json"),
    ):
        for opener in (as_file, as_pipe):
            fd, close = opener(content)
            with pytest.raises(InvalidArchive) as raised:
                read.candidates(read.source(fd, "it", lease))
            close()
            assert str(raised.value).startswith(words)
