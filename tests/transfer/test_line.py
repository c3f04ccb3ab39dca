"""The pace of a line."""

import os
import threading
import time
from pathlib import Path

import pytest

from ferryman.transfer.line import Line, Pace


def test_no_limit() -> None:
    reader, writer = os.pipe()
    heard: list[int] = []
    line = Line(writer, Pace(None), heard.append)
    line.write(b"x" * 1000)
    assert (line.sent, heard) == (1000, [1000])
    assert os.read(reader, 2000) == b"x" * 1000


def test_two_lines_share_a_pace() -> None:
    """No faster than was asked for; how much slower is the machine's affair."""
    pace = Pace(100_000)
    with open(os.devnull, "wb") as null:
        lines = [Line(null.fileno(), pace) for _ in range(2)]
        began = time.monotonic()
        for _ in range(10):
            for line in lines:
                line.write(bytes(1500))
        assert time.monotonic() - began > 0.9 * 2 * 10 * 1500 / 100_000


def test_a_pipe_is_charged_for_what_went_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes less at once than was offered."""
    waited: list[int] = []
    monkeypatch.setattr(Pace, "wait", lambda self, size: waited.append(size))
    (tmp_path / "content").write_bytes(bytes(3 << 20))
    reader, writer = os.pipe()

    def drain() -> None:
        while os.read(reader, 1 << 16):
            pass

    thread = threading.Thread(target=drain)
    thread.start()
    with (tmp_path / "content").open("rb") as content:
        Line(writer, Pace(100 << 20)).copy(content.fileno(), 0, 3 << 20)
    os.close(writer)
    thread.join()
    assert sum(waited) == 3 << 20
