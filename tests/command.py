"""A program that tests run, and what keeps it to folders of its own."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Self

Stream = IO[bytes] | int | None


@dataclass(frozen=True)
class Command:
    """A program, the arguments that always come first, and the environment it gets on top."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def with_flags(self, *flags: str) -> Self:
        return type(self)((*self.argv, *flags), self.env)

    def run(
        self,
        *args: str | os.PathLike[str],
        input: bytes | None = None,
        check: bool = True,
        stdin: Stream = None,
        stdout: Stream = subprocess.PIPE,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end.

        Raises CalledProcessError, with what the program said as a note, if `check` is set and it
        exits with anything but 0; TimeoutExpired after `timeout` seconds.
        """
        done = subprocess.run(
            [*self.argv, *args],
            env={**os.environ, **self.env},
            input=input,
            stdin=None if input is not None else stdin or subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            error = subprocess.CalledProcessError(
                done.returncode, done.args, done.stdout, done.stderr
            )
            error.add_note(done.stderr.decode(errors="replace"))
            raise error
        return done

    def popen(
        self,
        *args: str | os.PathLike[str],
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.PIPE,
        stderr: Stream = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start it; the caller waits for it."""
        return subprocess.Popen(
            [*self.argv, *args],
            env={**os.environ, **self.env},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )

    def text(self, *args: str | os.PathLike[str]) -> str:
        """Run it and return what it printed, stripped."""
        return self.run(*args).stdout.decode().strip()
