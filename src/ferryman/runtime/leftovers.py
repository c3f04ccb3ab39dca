"""What commands and monitors that were killed have left of containers, found and given back.

All that a container has is told by its folder until it has been given back, so whoever looks at the
container finds it (`finish.settled`).  Here is what that cannot find: programs that are at work on
a container and that nobody waits for, and what is left of a container whose record has been lost.
"""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from ferryman.runtime import cgroups, network, record
from ferryman.store.durable import remove
from ferryman.store.layout import Store

_PROGRAMS = {b"conmon", b"crun", b"pasta", b"runc"}
_PAUSE = 0.002  # seconds
_YOUNG = 60.0
"""Seconds in which a command that is executed gets its monitor, or never."""


def end_programs(folder: str) -> None:
    """End monitors and the like that are at work on a container, which has this folder."""
    # One that is just becoming another process is missed by a look at all of them, not by two.
    clean = 0
    while clean < 2:
        found = [pid for pid, _ in _programs(folder)]
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        clean = 0 if found else clean + 1
        time.sleep(_PAUSE)


def give_back(store: Store) -> None:
    """Give back what has been left of containers that have no record, and of commands in others.

    Raises StoreError.
    """
    found = _known_to_programs(store) | set(_listed(store.containers))
    # Read after the programs: a container has its record before anybody is at work on it.
    known = {container.id for container in record.every(store)}
    for container_id in found - known:
        folder = record.folder(store, container_id)
        end_programs(folder)
        cgroups.end(container_id)
        remove(folder)
    for container_id in known:
        _end_sessions(record.folder(store, container_id))
    network.clear(store)


def _known_to_programs(store: Store) -> set[str]:
    within = re.compile(re.escape(os.fsencode(store.containers)) + rb"/([0-9a-f]{64})/")
    return {
        match[1].decode()
        for _, words in _programs(store.containers)
        for word in words
        if (match := within.match(word))
    }


def _end_sessions(folder: str) -> None:
    """Remove the folders of commands that were executed in a container and whose monitor died."""
    sessions = f"{folder}/bundle/exec"
    dead = [
        path
        for path in (f"{sessions}/{name}" for name in _listed(sessions))
        if time.time() - os.stat(path).st_mtime > _YOUNG
    ]
    if dead:
        busy = {word for _, words in _programs(sessions) for word in words}
        for path in dead:
            if os.fsencode(path) not in busy:
                remove(path)


def _programs(folder: str) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the monitors and runtimes that were given a path in a folder, with their words."""
    within = os.fsencode(f"{folder}/")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue  # it has just ended
        if any(word.startswith(within) for word in words) and _PROGRAMS & set(
            map(os.path.basename, words)
        ):
            yield int(pid), words


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
