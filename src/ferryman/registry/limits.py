"""How long a registry may take, how often it is asked again, and how fast bytes may come."""

import threading
import time
from typing import NamedTuple


class Limits(NamedTuple):
    """What a registry, which may be slow, busy or hostile, is allowed."""

    connect: float = 15.0
    """Seconds until a connection stands."""
    idle: float = 60.0
    """Seconds without a single byte."""
    head: float = 120.0
    """Seconds for the head of an answer, and for the whole of a small body."""
    pace: int = 1024
    """Bytes a second that a body must have on average, over `idle` seconds of waiting for it."""
    attempts: int = 5
    """How often the same is asked for, when the registry is busy or a connection breaks."""
    pause: float = 0.5
    """Seconds before the second attempt; they double with each one."""
    patience: float = 120.0
    """The longest pause that a registry may ask for, in seconds."""
    redirects: int = 10


class Rate:
    """Bytes a second for all threads together; with 0 there is no limit."""

    def __init__(self, limit: int) -> None:
        """Let `limit` bytes through a second."""
        self._limit = limit
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait(self, size: int, stop: threading.Event) -> None:
        """Return when `size` more bytes may come, or when `stop` is set."""
        if not self._limit:
            return
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._free_at)
            self._free_at = begin + size / self._limit
        if begin > now:
            stop.wait(begin - now)
