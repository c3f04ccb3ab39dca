"""The pace of a line."""

import os
import time

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
        assert time.monotonic() - began > (2 * 10 * 1500 - pace.piece) / 100_000
