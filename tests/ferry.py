"""The command ``ferry`` as a user starts it: another process, on a store of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.command import Command, Stream


class Ferry:
    """``ferry --root ROOT``; each call may name another root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def at(self, root: Path | None) -> Command:
        """Return the command that works on the store at `root`, or on this one's."""
        return Command((sys.executable, "-m", "ferryman", "--root", str(root or self.root)))

    def run(
        self,
        *args: str | os.PathLike[str],
        root: Path | None = None,
        input: bytes | None = None,
        check: bool = True,
        stdin: Stream = None,
        stdout: Stream = subprocess.PIPE,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end; see Command.run."""
        return self.at(root).run(
            *args, input=input, check=check, stdin=stdin, stdout=stdout, timeout=timeout
        )

    __call__ = run

    def popen(
        self,
        *args: str | os.PathLike[str],
        root: Path | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.PIPE,
        stderr: Stream = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start one command; the caller waits for it."""
        return self.at(root).popen(*args, stdin=stdin, stdout=stdout, stderr=stderr)

    def text(self, *args: str | os.PathLike[str], root: Path | None = None) -> str:
        """Run one command and return what it printed, stripped."""
        return self.at(root).text(*args)
