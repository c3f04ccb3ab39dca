"""Processes that run many commands of ``ferry`` each, for tests that need thousands.

To start Python costs ten times what a small command does.  What runs is the same from `main` on.
"""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple


class Ran(NamedTuple):
    """A command that has ended."""

    arguments: list[str]
    code: int
    stdout: str
    stderr: str


class Worker:
    """A process that runs one command at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._arguments: list[str] = []

    def begin(self, *arguments: str | Path, after: float = 0) -> None:
        """Begin a command, some seconds from now."""
        self._arguments = [str(argument) for argument in arguments]
        assert self._process.stdin
        self._process.stdin.write(json.dumps([after, self._arguments]).encode() + b"\n")
        self._process.stdin.flush()

    def end(self) -> Ran:
        """Wait for what was begun."""
        assert self._process.stdout
        answer = self._process.stdout.readline()
        assert answer, f"the process has died of {self._arguments}"
        return Ran(self._arguments, *json.loads(answer))


@contextmanager
def workers(number: int, *before: str) -> Iterator[list[Worker]]:
    """Give so many workers, and end them with the block.

    `before` are the first words of the command that starts one, as ``nsenter`` takes it.
    """
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*before, sys.executable, __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for _ in range(number)
        ]
        yield [Worker(process) for process in processes]


def together(workers: Sequence[Worker], *commands: tuple[float, Sequence[str | Path]]) -> list[Ran]:
    """Run commands at once, each beginning after its own delay, and return how they ended."""
    for worker, (after, arguments) in zip(workers, commands, strict=False):
        worker.begin(*arguments, after=after)
    return [worker.end() for worker, _ in zip(workers, commands, strict=False)]


def _serve() -> None:
    from ferryman.cli.main import main

    answers = sys.stdout
    for line in sys.stdin:
        after, arguments = json.loads(line)
        time.sleep(after)
        # Some commands print text, some bytes.
        said, errors = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
        with redirect_stdout(said), redirect_stderr(errors):
            code = main(arguments)
        texts = [each.buffer.getvalue().decode() for each in (said, errors)]
        print(json.dumps([code, *texts]), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
