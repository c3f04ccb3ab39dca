"""A command whose output, and perhaps input, is a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
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
