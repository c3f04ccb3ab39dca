"""Programs that give an archive, or take one, through a pipe."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ferryman.archive.stream import PipeStream, Stream
from ferryman.transfer.channel import end
from ferryman.transfer.ends.contract import CopyError
from ferryman.transfer.program import Program

Start = Callable[..., "subprocess.Popen[bytes]"]
"""Starts the program with the stdin, stdout and stderr that it is given."""


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
