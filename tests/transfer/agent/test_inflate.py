"""What the agent undoes, with the libraries that are on this machine."""

import os
import zlib
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.transfer.agent import inflate
from ferryman.transfer.agent.inflate import PIECE, Damaged, inflated
from ferryman.transfer.pressed import frame

MIXED = os.urandom(PIECE // 2) + bytes(PIECE)


def cut(content: bytes, size: int) -> Iterator[bytes]:
    return (content[i : i + size] for i in range(0, len(content), size))


def undone(pieces: Iterator[bytes] | list[bytes], codec: str) -> bytes:
    out = b""
    for piece in inflated(pieces, codec):
        assert 0 < len(piece) <= PIECE or codec == "gzip"
        out += piece
    return out


def test_zstd_is_had_from_its_library() -> None:
    assert inflate.codecs() == ["zstd", "gzip"]


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("sizes", [[], [0], [1], [PIECE], [3 * PIECE], [PIECE + 1, PIECE, 7]])
def test_frames_one_behind_the_other(codec: str, sizes: list[int]) -> None:
    contents = [(MIXED * 3)[:size] for size in sizes]
    pressed = b"".join(frame(content, codec) for content in contents)
    for size in (1 << 10, 1 << 20):
        assert undone(cut(pressed, size), codec) == b"".join(contents)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=5000), max_size=4), st.integers(1, 200))
def test_pieces_may_end_anywhere(contents: list[bytes], size: int) -> None:
    for codec in ("gzip", "zstd"):
        pressed = b"".join(frame(content, codec) for content in contents)
        assert undone(cut(pressed, size), codec) == b"".join(contents)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_what_is_cut_or_damaged(codec: str) -> None:
    pressed = bytearray(frame(MIXED, codec))
    with pytest.raises(Damaged, match="truncated"):
        undone([bytes(pressed[:-1])], codec)
    with pytest.raises(Damaged, match="damaged"):
        undone([bytes(pressed) + b"something else"], codec)
    pressed[2:6] = b"\xff" * 4
    with pytest.raises(Damaged, match="damaged"):
        undone([bytes(pressed)], codec)


def test_a_window_that_takes_too_much_memory() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    compress = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    pressed = compress.compress(MIXED) + compress.flush()
    with pytest.raises(Damaged, match="damaged"):
        undone([pressed], "zstd")


def test_a_little_that_holds_much_comes_in_pieces() -> None:
    pieces = inflated([zstandard.compress(bytes(1 << 30))], "zstd")
    assert [len(next(pieces)) for _ in range(3)] == [PIECE] * 3
    pieces = inflated([zlib.compress(bytes(64 << 20), wbits=31)], "gzip")
    assert [len(next(pieces)) for _ in range(3)] == [PIECE] * 3


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "_LIBRARY", "libnone.so.0")
    assert inflate.codecs() == ["gzip"]
    with pytest.raises(Damaged, match="unknown here"):
        undone([b"x"], "zstd")
