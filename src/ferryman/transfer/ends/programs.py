"""Programs that give an archive, or take one, through a pipe."""

import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ferryman.archive.stream import PipeStream, Stream
from ferryman.transfer.channel import end, last_line
from ferryman.transfer.ends.contract import CopyError

Start = Callable[..., "subprocess.Popen[bytes]"]
"""Starts the program with the stdin, stdout and stderr that it is given."""

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

    def finish(self) -> str:
        """Wait for its end; return what went wrong, or nothing."""
        for each in self._listeners:
            each.join()
        code = self.process.wait()
        said = self._told.get("stderr", b"").rstrip()
        if not code and not said.endswith(FAILED.encode()):
            return ""
        said = said.removesuffix(FAILED.encode())
        return last_line(said) or f"it ended with exit code {code}"


@contextmanager
def giving(start: Start, what: str) -> Iterator[Stream]:
    """Give what a program writes; the block reads it to its end.  Raises CopyError."""
    process = start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program = Program(process, "stderr")
    assert process.stdout
    try:
        stream = _Watched(PipeStream(process.stdout.fileno(), what), program, what)
        yield stream
    finally:
        end(process)


class _Watched(Stream):
    """What a program writes, the end of which is only good when the program's is."""

    def __init__(self, stream: Stream, program: Program, what: str) -> None:
        super().__init__()
        self._stream = stream
        self._program = program
        self._what = what

    def readinto(self, view: memoryview) -> int:
        n = self._stream.readinto(view)
        self._at += n
        if view and not n and (wrong := self._program.finish()):
            raise CopyError(f"{self._what}: {wrong}")
        return n


@contextmanager
def taking(argv: Sequence[str], what: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """Give the pipe that a program reads, and what ends it well; without that it is killed."""
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as e:
        raise CopyError(f"{what}: cannot run {argv[0]}: {e.strerror}") from None
    program = Program(process, "stdout", "stderr")
    assert process.stdin
    pipe = process.stdin

    def finish() -> None:
        pipe.close()
        if wrong := program.finish():
            raise CopyError(f"{what}: {wrong}")

    try:
        yield pipe.fileno(), finish
    except BrokenPipeError:
        raise CopyError(f"{what}: {program.finish() or 'nobody reads it'}") from None
    finally:
        if process.poll() is None:
            process.kill()
        end(process)
