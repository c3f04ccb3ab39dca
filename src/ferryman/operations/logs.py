"""Logs: what a container has said, and what it goes on to say."""

import time
from collections.abc import Callable, Iterator

from ferryman.errors import FerryError
from ferryman.runtime import log_options, record
from ferryman.runtime import logs as files
from ferryman.runtime.finish import exit_code, settled
from ferryman.runtime.logs import Piece, Wanted
from ferryman.runtime.record import Process
from ferryman.store.layout import Store

_PAUSE = 0.05  # seconds between two looks at a log that does not grow


class NoLog(FerryError):
    """What a container says is not kept."""


def logs(
    store: Store, text: str, wanted: Wanted, *, follow: bool = False, details: bool = False
) -> Iterator[Piece]:
    """Return what a container has written to its streams, as it comes.

    With `follow` that goes on until the container ends, or the time is over that is wanted.  With
    `details` each line begins with what ``--log-opt labels`` and ``env`` ask for.
    Raises ContainerNotFound, NoLog, StoreError.
    """
    container = record.find(store, text)
    kept = container.host_config.log_config
    if kept.type == log_options.NONE:
        raise NoLog("configured logging driver does not support reading")
    if details:
        attributes = log_options.details(kept, container.config)
        wanted = wanted._replace(details=attributes.encode())
    state = settled(store, container)
    folder = record.folder(store, container.id)
    more = files.never
    if follow and state.up and state.monitor:
        more = _until_the_end(folder, container.id, state.monitor, wanted.until)
    return files.read(f"{folder}/log", wanted, more)


def _until_the_end(
    folder: str, container_id: str, monitor: Process, until: int | None
) -> Callable[[], bool]:
    def more() -> bool:
        # The monitor writes the exit code when the log is complete, and may live on for a while.
        if exit_code(folder, container_id) is not None:
            return False
        if until is not None and time.time_ns() > until:
            return False
        return not record.exited(monitor, timeout=_PAUSE)

    return more
