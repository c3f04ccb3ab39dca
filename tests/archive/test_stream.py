"""Every stream gives the same bytes, however they are asked for."""

import gzip
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.archive.compression import decompressed
from ferryman.archive.stream import (
    CHUNK,
    Bounded,
    BytesStream,
    Counted,
    FileStream,
    Limited,
    PipeStream,
    RewoundStream,
    Stream,
)
from ferryman.errors import InvalidArchive, StoreError


@contextmanager
def in_memory(content: bytes) -> Iterator[Stream]:
    yield BytesStream(content)


@contextmanager
def in_a_file(content: bytes) -> Iterator[Stream]:
    fd = os.memfd_create("content")
    try:
        os.write(fd, b"before" + content + b"behind")
        yield FileStream(fd, 6, len(content), "it")
    finally:
        os.close(fd)


@contextmanager
def in_a_pipe(content: bytes) -> Iterator[Stream]:
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb", buffering=0) as out:
            for start in range(0, len(content), 700):
                out.write(content[start : start + 700])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield PipeStream(reading, "it")
    finally:
        while os.read(reading, CHUNK):
            continue
        writer.join()
        os.close(reading)


@contextmanager
def rewound(content: bytes) -> Iterator[Stream]:
    yield RewoundStream(content[:6], BytesStream(content[6:]))


@contextmanager
def counted(content: bytes) -> Iterator[Stream]:
    pieces: list[int] = []
    stream = Counted(BytesStream(content), pieces.append)
    yield stream
    assert sum(pieces) == stream.tell()


@contextmanager
def limited(content: bytes) -> Iterator[Stream]:
    yield Limited(BytesStream(content + b"behind"), len(content))


@contextmanager
def bounded(content: bytes) -> Iterator[Stream]:
    yield Bounded(BytesStream(content), len(content), "it")


@contextmanager
def unpacked(content: bytes) -> Iterator[Stream]:
    yield decompressed(BytesStream(gzip.compress(content)), "gzip", "it")


STREAMS = [in_memory, in_a_file, in_a_pipe, rewound, counted, limited, bounded, unpacked]
Opened = Callable[[bytes], AbstractContextManager[Stream]]

steps = st.lists(st.tuples(st.sampled_from(["read", "skip", "into"]), st.integers(0, 900)))


@pytest.mark.parametrize("opened", STREAMS)
@given(content=st.binary(max_size=300).map(lambda piece: piece * 7), steps=steps)
def test_the_same_bytes_however_they_are_asked_for(
    opened: Opened, content: bytes, steps: list[tuple[str, int]]
) -> None:
    at = 0
    with opened(content) as stream:
        for step, size in steps:
            assert stream.tell() == at
            expected = content[at : at + size]
            if step == "read":
                assert stream.read(size) == expected
            elif step == "skip":
                assert stream.skip(size) == len(expected)
            else:
                view = memoryview(bytearray(size))
                n = stream.readinto(view)
                assert n <= size
                assert bool(n) == bool(expected)
                assert view[:n] == expected[:n]
                expected = expected[:n]
            at += len(expected)


@pytest.mark.parametrize("opened", STREAMS)
def test_no_room_is_no_end(opened: Opened) -> None:
    with opened(b"content" * 100) as stream:
        assert stream.readinto(memoryview(bytearray(0))) == 0
        assert stream.read(3) == b"con"
        assert stream.readinto(memoryview(bytearray(0))) == 0
        assert stream.read(4) == b"tent"


def test_more_than_there_is_room_for() -> None:
    stream = Bounded(BytesStream(b"x" * 11), 10, "layer 7")
    with pytest.raises(StoreError, match="layer 7 unpacks to more than the 10 bytes"):
        stream.skip(100)


def test_several_read_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"onetwo")
    fd = os.open(path, os.O_RDONLY)
    one, two = FileStream(fd, 0, 3, "it"), FileStream(fd, 3, 3, "it")
    assert (one.read(2), two.read(2), one.read(2), two.read(2)) == (b"on", b"tw", b"e", b"o")
    os.close(fd)


def test_a_file_that_has_become_shorter_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    fd = os.open(path, os.O_RDONLY)
    stream = FileStream(fd, 0, 7, "it")
    os.truncate(path, 3)
    assert stream.read(7) == b"con"
    os.close(fd)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for stream in (FileStream(fd, 0, 7, "a folder"), PipeStream(fd, "a folder")):
        with pytest.raises(InvalidArchive, match="cannot read a folder: Is a directory"):
            stream.read(7)
    os.close(fd)
