"""A command whose output, and perhaps input, is a terminal."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import NamedTuple

from tests.command import Command

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shown(NamedTuple):
    """What a command wrote to its terminal, without the codes that move about, and its end."""

    text: str
    code: int

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in re.split(r"[\r\n]+", self.text) if line.strip()]


def on_terminal(
    command: Command,
    *args: str | os.PathLike[str],
    columns: int = 120,
    stdin: Path | None = None,
    stdout: int | None = None,
) -> Shown:
    """Run a command; what is not given is a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    source = os.open(stdin, os.O_RDONLY) if stdin else os.dup(theirs)
    process = subprocess.Popen(
        [*command.argv, *args],
        env={**os.environ, **command.env, "TERM": "xterm", "COLUMNS": "", "LINES": ""},
        stdin=source,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
    )
    os.close(source)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:
        pass  # EIO: nobody has the other side open any more
    os.close(ours)
    return Shown(_CONTROL.sub("", shown.decode()), process.wait(60))


class Terminal:
    """A terminal that a command has as its own, and a user who types and reads.

    Every wait is for what is to be seen, and fails after `PATIENCE` seconds.
    """

    PATIENCE = 30.0

    def __init__(self, command: Command, *args: str, rows: int = 24, columns: int = 80) -> None:
        """Start a command in a session of its own; the caller closes it."""
        self._ours, self._theirs = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self._theirs)
        self._seen = b""
        self._shown = b""
        self.process = subprocess.Popen(
            [*command.argv, *args],
            env={**os.environ, **command.env, "TERM": "xterm", "COLUMNS": "", "LINES": ""},
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )

    @property
    def settings(self) -> list[object]:
        """How the terminal is set at this moment."""
        return list(termios.tcgetattr(self._theirs))

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self._theirs)[3] & termios.ICANON

    @property
    def shown(self) -> str:
        """All that was written to it so far."""
        return self._shown.decode(errors="replace")

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until a pattern appears in what has not been read by an earlier call."""
        deadline = time.monotonic() + self.PATIENCE
        while True:
            text = self._seen.decode(errors="replace")
            if match := re.search(pattern, text):
                self._seen = text[match.end() :].encode()
                return match
            assert self._read(deadline), f"no {pattern!r} in {text!r}"

    def ended(self) -> int:
        """Wait until the command has ended, and return its exit code."""
        deadline = time.monotonic() + self.PATIENCE
        while self.process.poll() is None:
            self._read(min(deadline, time.monotonic() + 0.05))
            assert time.monotonic() < deadline, f"it goes on: {self.shown!r}"
        while self._read(time.monotonic()):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        piece = os.read(self._ours, 1 << 16)
        self._seen += piece
        self._shown += piece
        return bool(piece)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
