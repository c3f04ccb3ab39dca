"""Engines beside the agent: scripts that are run, fed and ended, and what they say last.

The standard library alone, as of Python 3.6: this file is sent to hosts.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from typing import Any, Dict, Iterator, List

_TOLD = 8 << 10


class Engine:
    """A script that runs, with all that it starts."""

    def __init__(self, script: str, fed: bool = False) -> None:
        """Start it; `fed` says that it reads what it is given."""
        self._told = tempfile.TemporaryFile()
        self._stopped = False
        self._process = subprocess.Popen(
            ["sh", "-c", script],
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._told,
            start_new_session=True,
        )

    def feed(self, piece: bytes) -> None:
        """Give it some bytes; one that has stopped to read will say why."""
        if not self._stopped and self._process.stdin:
            try:
                self._process.stdin.write(piece)
            except OSError:
                self._stopped = True

    def close(self) -> None:
        """Let what it was given be all."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def wait(self) -> int:
        """Wait for its end; several threads may."""
        return self._process.wait()

    def ended(self) -> Dict[str, Any]:
        """Wait for its end; return how it ended, and what it said."""
        code = self.wait()
        self._told.seek(max(0, os.fstat(self._told.fileno()).st_size - _TOLD))
        return {"code": code, "said": self._told.read(_TOLD).decode("utf-8", "replace")}

    def end(self, by: int = signal.SIGKILL) -> None:
        """End it."""
        # One that sudo has started may be none of the user's to kill: it ends with its pipes.
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.killpg(self._process.pid, by)
        self.close()
        self._process.wait()


@contextlib.contextmanager
def output(command: List[str]) -> Iterator[Any]:
    """Give what a command writes, which ends with the block."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process.stdout
    finally:
        with contextlib.suppress(PermissionError):
            process.kill()
        if process.stdout:
            process.stdout.close()
        process.wait()
