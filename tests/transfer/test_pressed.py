"""Blobs are read and compressed once, however many hosts take them."""

import gzip
import os
import threading
from pathlib import Path

import pytest
import zstandard

from ferryman.errors import StoreError
from ferryman.transfer import pressed
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.pressed import FRAME, File, Pressed, frame


class Sink:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.content = b""

    def copy(self, fd: int, start: int, size: int) -> None:
        self.content += os.pread(fd, size, start)


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(os.urandom(FRAME) + bytes(2 * FRAME) + os.urandom(1000))
    return path


def of(path: Path, codec: str, start: int = 0) -> Pressed:
    return Pressed(lambda: File(os.open(path, os.O_RDONLY)), path.stat().st_size, codec, start)


def undone(content: bytes, codec: str) -> bytes:
    if codec == "gzip":
        return gzip.decompress(content)
    if codec == "zstd":
        undo = zstandard.ZstdDecompressor()
        return undo.stream_reader(content, read_across_frames=True).read()
    return content


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_sent(blob: Path, codec: str) -> None:
    each, sink = of(blob, codec), Sink()
    assert each.send(sink) == len(sink.content)
    each.close()
    assert undone(sink.content, codec) == blob.read_bytes()
    rest, sink = of(blob, codec, FRAME), Sink()
    rest.send(sink)
    rest.close()
    assert undone(sink.content, codec) == blob.read_bytes()[FRAME:]


def test_read_once_for_all(blob: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    pread = os.pread

    def counted(fd: int, size: int, start: int) -> bytes:
        content = pread(fd, size, start)
        read.append(len(content))
        return content

    each, sinks = of(blob, "gzip"), [Sink() for _ in range(16)]
    monkeypatch.setattr(pressed, "os", _Os(counted))
    threads = [threading.Thread(target=each.send, args=(sink,)) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    each.close()
    assert sum(read) == blob.stat().st_size
    assert {undone(sink.content, "gzip") == blob.read_bytes() for sink in sinks} == {True}


class _Os:
    """``os``, but for how it reads."""

    def __init__(self, pread: object) -> None:
        self.pread = pread

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


def test_one_that_is_gone_does_not_hold_others_up(blob: Path) -> None:
    class Gone(Sink):
        def copy(self, fd: int, start: int, size: int) -> None:
            raise BrokenPipeError

    each, sink = of(blob, "none"), Sink()
    with pytest.raises(BrokenPipeError):
        each.send(Gone())
    each.send(sink)
    each.close()
    assert sink.content == blob.read_bytes()


def test_a_blob_that_is_too_short(blob: Path) -> None:
    each = Pressed(lambda: File(os.open(blob, os.O_RDONLY)), blob.stat().st_size + 1, "none")
    with pytest.raises(StoreError, match="shorter"):
        each.send(Sink())
    each.close()


def test_closed_while_somebody_waits(blob: Path) -> None:
    reader, writer = os.pipe()
    each = of(blob, "none")
    failed = []

    def send() -> None:
        try:
            each.send(Line(writer, Pace(None)))
        except Exception as e:
            failed.append(e)

    thread = threading.Thread(target=send)
    thread.start()
    os.read(reader, 1)
    each.close()
    os.close(reader)
    thread.join(20)
    os.close(writer)
    assert not thread.is_alive()
    assert failed


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_harder(codec: str) -> None:
    content = b"some text " * 10_000
    least, most = frame(content, codec, 0), frame(content, codec, 99)
    assert undone(least, codec) == undone(most, codec) == content
    assert len(most) <= len(least)
