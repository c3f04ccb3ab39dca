"""Writing in a thread: everything, in order, and what goes wrong is told."""

import os
from pathlib import Path

import pytest

from ferryman.archive import behind
from ferryman.archive.write import FileSink


class Full:
    """A sink that takes nothing."""

    def write(self, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    def copy(self, fd: int, size: int, advance: object, start: int = 0) -> None:
        raise AssertionError("nothing comes after a fault")


def ignored(count: int) -> None:
    """Count nothing."""


def test_pieces_and_files_arrive_in_order(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 4096)
    with (tmp_path / "out").open("wb", buffering=0) as out:
        with behind.writing(FileSink(out.fileno())) as sink:
            for number in range(20):
                sink.write(b"%d," % number)
                fd = os.open(source, os.O_RDONLY)
                sink.copy(fd, 3, ignored, start=65 + number)
                os.close(fd)
    text = bytes(range(256))
    expected = b"".join(b"%d,%b" % (n, text[65 + n : 68 + n]) for n in range(20))
    assert (tmp_path / "out").read_bytes() == expected


def test_what_the_sink_raises_is_raised(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")

    def go_on() -> None:
        with behind.writing(Full()) as sink, (tmp_path / "source").open("rb") as f:
            sink.write(b"first")
            while True:
                sink.copy(f.fileno(), 7, ignored)

    with pytest.raises(OSError, match="No space left"):
        go_on()


def test_a_fault_at_the_very_end_is_raised() -> None:
    with pytest.raises(OSError, match="No space left"), behind.writing(Full()) as sink:
        sink.write(b"last")


def test_after_an_error_of_the_caller_its_own_is_raised(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb", buffering=0) as out:
        with pytest.raises(KeyboardInterrupt), behind.writing(FileSink(out.fileno())):
            raise KeyboardInterrupt
