"""Top: the processes of a container, as ps(1) tells of them."""

import os
import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from ferryman.errors import Conflict, FerryError
from ferryman.runtime import programs, record
from ferryman.runtime.finish import settled
from ferryman.runtime.usage import processes
from ferryman.store.layout import Store

_OTHER_PID = re.compile(r"\s+(\S*)=\s*(PID\S*)", re.ASCII)


class Processes(NamedTuple):
    """The columns that ps was asked for, and what is in them, a row a process (or thread)."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


def top(store: Store, text: str, options: Sequence[str] = ()) -> Processes:
    """Return the processes of a running container; `options` are those of ps, else ``-ef``.

    They must ask for a column PID.  Raises ContainerNotFound, Conflict (it does not run),
    FerryError (ps refuses), MissingProgram, StoreError.
    """
    words = " ".join(options or ["-ef"])
    for name, value in _OTHER_PID.findall(words):
        if name != "pid":
            raise FerryError(f'specifying "{name}={value}" is not allowed')
    container = record.find(store, text)
    state = settled(store, container)
    if state.status == "restarting":
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if not state.up or state.init is None:
        raise Conflict(f"Container {container.id} is not running")
    pids = processes(container.id, state.init.pid)
    return _parsed(_listed(words.split(" "), pids), frozenset(pids))


def _listed(options: Sequence[str], pids: Sequence[int]) -> str:
    ps = programs.needed("ps", "procps", "to list processes")
    only = f"-q{','.join(map(str, pids))}"
    # Some options cannot be together with a choice of processes.
    for choice in ([only], []):
        done = subprocess.run(
            [ps, *options, *choice],
            env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if not done.returncode:
            return done.stdout
    first = done.stderr.partition("\n")[0] or f"exit status {done.returncode}"
    raise FerryError(f"ps: {first}")


def _parsed(listed: str, pids: frozenset[int]) -> Processes:
    first, *lines = listed.splitlines()
    titles = first.split()
    if "PID" not in titles:
        raise FerryError("Couldn't find PID field in ps output")
    at, last = titles.index("PID"), len(titles) - 1
    rows: list[list[str]] = []
    within = False
    for line in lines:
        fields = line.split()
        if len(fields) <= at:
            continue
        # The threads of a process follow it, without a number of their own.
        if fields[at] != "-":
            try:
                within = int(fields[at]) in pids
            except ValueError as e:
                raise FerryError(f"Unexpected pid '{fields[at]}': {e}") from None
        if within:
            rows.append([*fields[:last], " ".join(fields[last:])])
    return Processes(titles, rows)
