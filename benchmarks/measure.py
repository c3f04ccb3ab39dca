"""Interleaved timing: A B C A B C …, so that a busy moment of the machine meets all alike."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from tests.command import Command


class Failed(Exception):
    """A command that was to be timed did not end well."""


def nothing() -> None:
    """Prepare nothing."""


Pipeline = tuple[Command, ...]
"""Commands that run at once, each one's output the next one's input."""


class Contender(NamedTuple):
    """What is timed: pipelines, one after the other, and what makes the ground ready for them."""

    name: str
    steps: tuple[Pipeline, ...]
    prepare: Callable[[], object] = nothing
    """Not timed: takes away what the last round left."""
    reference: bool = False
    """True for what does less than an engine must do: `cp`, a hash."""


class Times(NamedTuple):
    """What was measured: seconds by contender, and what those said that cannot do the job."""

    seconds: Mapping[str, list[float]]
    unable: Mapping[str, str]


def interleaved(
    contenders: Sequence[Contender], rounds: int, told: Callable[[str, float], object]
) -> Times:
    """Time each contender once a round, and return the seconds of all rounds.

    Before each one, not timed: it is prepared, and what is not yet on the disk is written there,
    so that nobody pays for the one before.  `told` hears of each time.  A peer that fails is left
    out from then on; raises Failed when ferry or a plain tool does.
    """
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    unable: dict[str, str] = {}
    for _ in range(rounds):
        for contender in contenders:
            if contender.name in unable:
                continue
            contender.prepare()
            os.sync()
            try:
                taken = sum(map(timed, contender.steps))
            except Failed as e:
                if contender.reference or contender.name == "ferry":
                    raise
                unable[contender.name] = str(e).splitlines()[-1].strip(" *")
                del seconds[contender.name]
                continue
            seconds[contender.name].append(taken)
            told(contender.name, taken)
    return Times(seconds, unable)


def timed(pipeline: Sequence[Command]) -> float:
    """Run the commands, each one's output the next one's input, and return the seconds it took.

    Output of the last one is thrown away.  Raises Failed when one of them does not exit with 0.
    """
    with ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in pipeline]
        processes: list[subprocess.Popen[bytes]] = []
        began = time.perf_counter()
        for i, (command, error) in enumerate(zip(pipeline, errors, strict=True)):
            last = i == len(pipeline) - 1
            before = processes[-1].stdout if processes else None
            process = command.popen(
                stdin=before or subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if last else subprocess.PIPE,
                stderr=error,
            )
            if before:
                # The reader alone holds its end: should it die, the writer is told.
                before.close()
            processes.append(stack.enter_context(process))
        for process in processes:
            # Without a timeout: with one, Python looks only every 50 ms whether it has ended.
            process.wait()
        taken = time.perf_counter() - began
        for process, error in zip(processes, errors, strict=True):
            if process.returncode:
                error.seek(0)
                said = error.read().decode(errors="replace").strip()[-1000:]
                raise Failed(f"{process.args!r} ended with {process.returncode}: {said}")
    return taken
