"""A program that runs, here or elsewhere, and what it says last."""

import subprocess
import threading

from ferryman.transfer.channel import last_line

FAILED = "ferry:failed"
"""What a script says last on stderr where its exit code cannot tell that it failed."""

_LIMIT = 64 << 10


class Program:
    """A program that runs, of which the end of all that it says is kept."""

    def __init__(self, process: "subprocess.Popen[bytes]", *names: str) -> None:
        """Listen to "stdout", "stderr" or both."""
        self.process = process
        self._told = dict.fromkeys(names, b"")
        self._listeners = [
            threading.Thread(target=self._listen, args=(name,), daemon=True) for name in names
        ]
        for each in self._listeners:
            each.start()

    def _listen(self, name: str) -> None:
        stream = getattr(self.process, name)
        while piece := stream.read1(1 << 16):
            self._told[name] = (self._told[name] + piece)[-_LIMIT:]

    def said(self, seconds: float | None = None) -> str:
        """Return the last line of its stderr, once that has ended or so many seconds are over."""
        for each in self._listeners:
            each.join(seconds)
        return last_line(self._told.get("stderr", b"").rstrip().removesuffix(FAILED.encode()))

    def finish(self) -> str:
        """Wait for its end; return what went wrong, or nothing."""
        said = self.said()
        code = self.process.wait()
        failed = self._told.get("stderr", b"").rstrip().endswith(FAILED.encode())
        if not code and not failed:
            return ""
        return said or f"it ended with exit code {code}"
