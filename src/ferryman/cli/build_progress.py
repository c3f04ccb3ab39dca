"""A build's progress: lines, as docker writes them to a file, or a live view on a terminal."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO

from ferryman.build.events import Began, Ended, Event, Said, Tell


class Plain:
    """Writes events as lines, each with its step's number."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to `out`."""
        self._out = out
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._rests: dict[str, bytes] = {}
        self._began: dict[str, float] = {}
        self._last = ""

    def __call__(self, event: Event) -> None:
        """Write what an event tells."""
        with self._lock:
            match event:
                case Began(title):
                    self._numbers.setdefault(title, len(self._numbers) + 1)
                    self._began[title] = time.monotonic()
                case Said(title, text):
                    self._said(title, text)
                case Ended(title):
                    self._rest(title)
                    self._head(title)
                    if event.error:
                        self._line(title, f"ERROR: {event.error}".encode())
                    elif event.cached:
                        self._line(title, b"CACHED")
                    else:
                        self._line(title, f"DONE {event.seconds:.1f}s".encode())
            self._out.flush()

    def _head(self, title: str) -> None:
        if title != self._last:
            if self._last:
                self._out.write(b"\n")
            self._line(title, title.encode("utf-8", "replace"))
            self._last = title

    def _line(self, title: str, text: bytes) -> None:
        self._out.write(b"#%d %b\n" % (self._numbers[title], text))

    def _said(self, title: str, text: bytes) -> None:
        *lines, rest = (self._rests.pop(title, b"") + text).split(b"\n")
        self._rests[title] = rest
        for line in lines:
            self._head(title)
            passed = time.monotonic() - self._began[title]
            self._line(title, b"%.3f %b" % (passed, line.rstrip(b"\r")))

    def _rest(self, title: str) -> None:
        if rest := self._rests.pop(title, b""):
            self._said(title, rest + b"\n")
            self._rests.pop(title, None)


_LINES = 6
"""How many of the last lines of a running step are shown."""


@contextmanager
def live(out: TextIO) -> Iterator[Tell]:
    """Give what draws the steps on a terminal, with their times and what they say last."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    lock = threading.Lock()
    steps: dict[str, _Step] = {}
    console = Console(file=out, highlight=False)

    def drawn() -> Group:
        with lock:
            lines = [line for title, step in steps.items() for line in step.lines(title)]
        return Group(
            *(Text(line, style, no_wrap=True, overflow="ellipsis") for line, style in lines)
        )

    def tell(event: Event) -> None:
        with lock:
            step = steps.setdefault(event.title, _Step(time.monotonic()))
            match event:
                case Said(_, text):
                    step.said(text)
                case Ended():
                    step.end = event

    with Live(console=console, refresh_per_second=8, get_renderable=drawn):
        yield tell
    failed = [step for step in steps.values() if step.end and step.end.error]
    for step in failed:
        # What it said is what one looks for, and the view shows only the end of it.
        out.write("".join(f" > {line}\n" for line in step.tail))


class _Step:
    """A step as it is drawn."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.end: Ended | None = None
        self.tail: deque[str] = deque(maxlen=200)
        self._rest = b""

    def said(self, text: bytes) -> None:
        *lines, self._rest = (self._rest + text).split(b"\n")
        self.tail.extend(line.rstrip(b"\r").decode("utf-8", "replace") for line in lines)

    def lines(self, title: str) -> list[tuple[str, str]]:
        if self.end is None:
            passed = time.monotonic() - self.began
            head = [(f"=> {title}  {passed:.1f}s", "bold")]
            return head + [
                (f"=> # {_printable(line)}", "dim") for line in list(self.tail)[-_LINES:]
            ]
        if self.end.error:
            return [(f"=> ERROR {title}  {self.end.seconds:.1f}s", "red")]
        if self.end.cached:
            return [(f"=> CACHED {title}", "blue")]
        return [(f"=> {title}  {self.end.seconds:.1f}s", "blue")]


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else " " for c in line)
