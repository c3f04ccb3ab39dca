"""Where the time of one run of ferry goes: its start, its imports, hashing, and the system calls.

The run is made by this same file, as a script in a process of its own.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.command import Command

_CALLS = {
    "read": ("read", "readv", "pread", "preadv"),
    "write": ("write", "writev", "pwrite", "pwritev"),
    "copy in the kernel": ("copy_file_range", "sendfile", "splice"),
    "fsync": ("fsync", "fdatasync"),
    "names of files": ("open", "rename", "replace", "unlink", "mkdir", "rmdir", "stat", "listdir"),
}


class Phase(NamedTuple):
    """What ferry did, how often, and for how many seconds, those of all threads together."""

    name: str
    calls: int
    seconds: float


class Profile(NamedTuple):
    """One run of ferry."""

    wall: float
    """The seconds from its start to its end."""
    phases: tuple[Phase, ...]
    threads: int
    peak: int
    """The most memory that it had at a time, in bytes."""


def profile(steps: Sequence[Sequence["Command"]], ferry: str, folder: Path) -> Profile:
    """Run pipelines, in which `ferry` is watched, one after the other; tell where its time went.

    Raises measure.Failed.
    """
    found = [_profile(pipeline, ferry, folder) for pipeline in steps]
    phases: dict[str, Phase] = {}
    for phase in (phase for part in found for phase in part.phases):
        before = phases.get(phase.name, Phase(phase.name, 0, 0.0))
        phases[phase.name] = Phase(
            phase.name, before.calls + phase.calls, before.seconds + phase.seconds
        )
    return Profile(
        sum(part.wall for part in found),
        tuple(sorted(phases.values(), key=lambda phase: -phase.seconds)),
        max(part.threads for part in found),
        max(part.peak for part in found),
    )


def _profile(pipeline: Sequence["Command"], ferry: str, folder: Path) -> Profile:
    from tests.command import Command

    from benchmarks.measure import timed

    out = folder / "phases.json"
    began = time.monotonic()
    watched = [
        Command((sys.executable, __file__, repr(began), str(out), *command.argv[1:]), command.env)
        if command.argv[0] == ferry
        else command
        for command in pipeline
    ]
    wall = timed(watched)
    found = json.loads(out.read_text())
    phases = [Phase(*phase) for phase in found["phases"]]
    ended = Phase("end of Python", 1, wall - found["at"])
    return Profile(wall, (*phases, ended), found["threads"], found["peak"])


class _Clock:
    """Sums up seconds by phase; calls within a call of the same thread count once."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.threads: set[int] = set()
        self._lock = threading.Lock()
        self._local = threading.local()

    def watching(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._local, "inside", False):
                return function(*args, **kwargs)
            self._local.inside = True
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._local.inside = False
                self.add(phase, time.perf_counter() - began)

        return call

    def add(self, phase: str, seconds: float) -> None:
        """Count one call."""
        with self._lock:
            self.threads.add(threading.get_ident())
            self.calls[phase] = self.calls.get(phase, 0) + 1
            self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds


class _Hash:
    """A running hash, timed."""

    def __init__(self, running: Any, clock: _Clock) -> None:
        self.update = clock.watching("hash", running.update)
        self.hexdigest = running.hexdigest


def _watched_run(began: float, out: str, arguments: list[str]) -> int:
    """Run ferry in this process, and write down where the time went."""
    import importlib
    import resource

    clock = _Clock()
    clock.add("start of Python", time.monotonic() - began)
    bootstrap: Any = importlib._bootstrap
    bootstrap._find_and_load = clock.watching("imports", bootstrap._find_and_load)

    from ferryman.cli.main import main
    from ferryman.image import digest

    for phase, names in _CALLS.items():
        for name in names:
            setattr(os, name, clock.watching(phase, getattr(os, name)))
    hasher = digest.hasher
    digest.hasher = lambda *args: _Hash(hasher(*args), clock)
    code = main(arguments)
    at = time.monotonic() - began
    found = {
        "at": at,
        "phases": [(name, clock.calls[name], seconds) for name, seconds in clock.seconds.items()],
        "threads": len(clock.threads),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    }
    with open(out, "w") as f:
        json.dump(found, f)
    return code


if __name__ == "__main__":
    sys.exit(_watched_run(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))
