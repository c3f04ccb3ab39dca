import bz2
import contextlib
import gzip
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ferryman.archive import compression
from ferryman.archive.stream import BytesStream, Stream
from ferryman.errors import InvalidArchive, UsageError


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}
CONTENT = os.urandom(1000) + b"the same " * 30_000 + bytes(200_000)


class Dripping(Stream):
    """Content in pieces of a few bytes."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__()
        self._content = BytesStream(content)
        self._size = size

    def readinto(self, view: memoryview) -> int:
        return self._content.readinto(view[: self._size])


def unpacked(content: bytes, form: str = "", limit: int = 10 << 20) -> bytes:
    form = form or compression.recognise(content[: compression.HEAD])
    return compression.decompressed(BytesStream(content), form, "it").read(limit)


@pytest.mark.parametrize("form", COMPRESS)
def test_recognised_and_undone(form: str) -> None:
    packed = COMPRESS[form](CONTENT)
    assert compression.recognise(packed[: compression.HEAD]) == form
    assert unpacked(packed) == CONTENT
    assert unpacked(COMPRESS[form](b"")) == b""


@pytest.mark.parametrize("form", COMPRESS)
def test_what_the_tools_write(form: str) -> None:
    for level in ("-1", "-9"):
        done = subprocess.run(
            [form, level, "-c"], input=CONTENT, stdout=subprocess.PIPE, check=True
        )
        assert unpacked(done.stdout) == CONTENT


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x1f",
        b"\x1f\x8b",
        b"\x1f\x8b\x00",
        b"BZ",
        b"\xfd7zXZ",
        b"\x28\xb5\x2f",
        b"\x4f\x2a\x4d\x18",
        b"\x60\x2a\x4d\x18",
        b"manife",
        bytes(6),
    ],
)
def test_not_compressed(head: bytes) -> None:
    assert compression.recognise(head) == "none"
    stream = BytesStream(head)
    assert compression.decompressed(stream, "none", "it") is stream


def test_zstd_frames_to_be_skipped() -> None:
    for n in range(16):
        skipped = bytes([0x50 + n]) + b"\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
        assert compression.recognise(skipped) == "zstd"
        assert unpacked(skipped + zstd(b"content") + skipped) == b"content"
        for length in range(1, 8 + 3):
            with pytest.raises(InvalidArchive):
                unpacked(zstd(b"content") + skipped[:length], "zstd")


@pytest.mark.parametrize("form", COMPRESS)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_in_pieces(form: str, size: int) -> None:
    packed = COMPRESS[form](CONTENT[:20_000])
    stream = compression.decompressed(Dripping(packed, size), form, "it")
    got = b""
    while piece := stream.read(4999):
        got += piece
    assert got == CONTENT[:20_000]


@pytest.mark.parametrize("form", COMPRESS)
def test_several_members_and_zeros_behind_them(form: str) -> None:
    packed = COMPRESS[form](b"one ") + COMPRESS[form](b"") + COMPRESS[form](b"two")
    assert unpacked(packed) == b"one two"
    if form != "zstd":
        assert unpacked(packed + bytes(1024)) == b"one two"


@pytest.mark.parametrize("form", COMPRESS)
def test_something_else_behind(form: str) -> None:
    with pytest.raises(InvalidArchive, match=rf"it \({form}\) is damaged or truncated"):
        unpacked(COMPRESS[form](b"one") + b"something else")


class Blocks:
    """Content without a length, so that zstd makes several blocks of it."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, size: int) -> bytes:
        piece, self._left = self._left[:size], self._left[size:]
        return piece


def in_blocks(content: bytes, compressor: zstandard.ZstdCompressor) -> bytes:
    return b"".join(compressor.read_to_iter(cast(IO[bytes], Blocks(content))))


FRAMES: dict[str, Callable[[bytes], bytes]] = {
    **COMPRESS,
    "zstd without a checksum": lambda content: zstandard.ZstdCompressor().compress(content),
    "zstd in blocks": lambda content: in_blocks(content, zstandard.ZstdCompressor(level=1)),
}


@pytest.mark.parametrize("frames", FRAMES)
def test_cut_at_any_byte(frames: str) -> None:
    packed = FRAMES[frames](os.urandom(300) + b"abc" * 60_000)
    form = frames.split()[0]
    for length in range(1, len(packed)):
        with pytest.raises(InvalidArchive, match=rf"it \({form}\) is damaged or truncated"):
            unpacked(packed[:length], form)
        with pytest.raises(InvalidArchive):
            unpacked(packed + packed[:length], form)


@pytest.mark.parametrize("form", COMPRESS)
@given(place=st.integers(0), byte=st.integers(1, 255))
def test_one_byte_changed(form: str, place: int, byte: int) -> None:
    """It is found out, or it was a byte that means nothing (a date, the system it was made on)."""
    content = b"hello, hello, hello " * 20
    packed = bytearray(COMPRESS[form](content))
    packed[place % len(packed)] ^= byte
    try:
        got = unpacked(bytes(packed), form)
    except InvalidArchive:
        return
    assert got == content


@given(st.binary(), st.sampled_from(sorted(COMPRESS)))
def test_anything_with_the_right_beginning(rest: bytes, form: str) -> None:
    head = COMPRESS[form](b"")[: compression.HEAD]
    try:
        unpacked(head + rest, form)
    except InvalidArchive as e:
        said = str(e)
    else:
        said = f"it ({form}) is fine"
    assert said.startswith(f"it ({form}) is ")


def test_memory_that_a_header_may_ask_for() -> None:
    def packed(dictionary: int) -> bytes:
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": dictionary}]
        return lzma.compress(b"content", filters=filters)

    assert unpacked(packed(64 << 20)) == b"content"
    with pytest.raises(InvalidArchive, match=r"it \(xz\) is damaged or truncated: Memory usage"):
        unpacked(packed(256 << 20))

    def long(window: int) -> bytes:
        settings = zstandard.ZstdCompressionParameters(window_log=window, enable_ldm=True)
        return in_blocks(b"content" * 9999, zstandard.ZstdCompressor(compression_params=settings))

    assert unpacked(long(27)) == b"content" * 9999
    with pytest.raises(InvalidArchive, match="too much memory"):
        unpacked(long(30))


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("none", ("none", None)),
        ("gzip", ("gzip", None)),
        ("gzip:0", ("gzip", 0)),
        ("gzip:3", ("gzip", 3)),
        ("zstd", ("zstd", None)),
        ("zstd:1", ("zstd", 1)),
        ("zstd:19", ("zstd", 19)),
    ],
)
def test_choices(text: str, choice: tuple[str, int | None]) -> None:
    assert compression.parse_choice(text) == choice


@pytest.mark.parametrize(
    "text",
    ["", "xz", "Gzip", "gzip:", "gzip:4", "gzip:x", "gzip:-1", "zstd:0", "zstd:20", "none:1"],
)
def test_no_choices(text: str) -> None:
    words = f'invalid compression "{text}": expected one of gzip[:0-3], none, zstd[:1-19]'
    with pytest.raises(UsageError) as raised:
        compression.parse_choice(text)
    assert str(raised.value) == words


@pytest.mark.parametrize("choice", ["gzip", "gzip:0", "gzip:3", "zstd", "zstd:1", "zstd:12"])
def test_compressed_the_same_in_any_number_of_threads(choice: str, tmp_path: Path) -> None:
    name, level = compression.parse_choice(choice)
    content = os.urandom(50_000) * 50 + CONTENT * 3
    results = []
    for threads in (1, 2, 4):
        path = tmp_path / str(threads)
        with path.open("wb") as out:
            packer = compression.compressor(out.fileno(), name, level, threads)
            for start in range(0, len(content), 400_000):
                packer.write(memoryview(content)[start : start + 400_000])
            packer.close()
            # The descriptor is the caller's, and stays open.
            os.fstat(out.fileno())
        results.append(path.read_bytes())
    assert results[0] == results[1] == results[2]
    assert unpacked(results[0]) == content
    tool = subprocess.run([name, "-dc"], input=results[0], stdout=subprocess.PIPE, check=True)
    assert tool.stdout == content


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_where_nothing_can_be_written(name: str) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    packer = compression.compressor(fd, name, None, 2)
    with contextlib.suppress(OSError):
        for _ in range(100):
            packer.write(os.urandom(1 << 20))
    with pytest.raises(OSError, match="No space left"):
        packer.close()
    os.close(fd)
