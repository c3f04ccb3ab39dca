"""A socket that does not wait for ever, nor for what comes slower than it has to."""

import io
import select
import socket
import threading
import time
from typing import cast

from ferryman.errors import Interrupted
from ferryman.registry.limits import Limits

_SLICE = 0.5
"""Seconds of waiting after which somebody looks whether it is still to go on."""


class PatientSocket:
    """A socket, as far as http.client needs one, that does not wait for ever."""

    def __init__(self, sock: socket.socket, limits: Limits, stop: threading.Event) -> None:
        """Take over a socket; once `stop` is set, whatever waits raises Interrupted."""
        sock.settimeout(_SLICE)
        self._sock = sock
        self._limits = limits
        self._stop = stop
        self._readers = 0
        self._closed = False
        self.deadline: float | None = None
        """When that which is being read has to be there, by time.monotonic."""
        self._waited = 0.0
        self._came = 0

    def fresh(self) -> bool:
        """Tell whether nothing has come while nobody asked: not even the end."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def makefile(self, mode: str = "rb", *_: object) -> io.BufferedReader:
        """Return what reads one answer."""
        self._readers += 1
        self._waited, self._came = 0.0, 0
        return io.BufferedReader(_Reader(self), 64 << 10)

    def readinto(self, view: memoryview) -> int:
        """Read what there is, waiting for some; raises OSError, TimeoutError, Interrupted."""
        begin = time.monotonic()
        while True:
            if self._stop.is_set():
                raise Interrupted("interrupted")
            try:
                n = self._sock.recv_into(view)
            except TimeoutError:
                self._check(begin, time.monotonic())
                continue
            now = time.monotonic()
            self._waited += now - begin
            self._came += n
            self._check(begin, now)
            return n

    def _check(self, begin: float, now: float) -> None:
        limits = self._limits
        if self.deadline is not None and now > self.deadline:
            raise TimeoutError("the answer takes too long")
        if now - begin > limits.idle:
            raise TimeoutError(f"nothing came for {limits.idle:g} seconds")
        if self._waited > limits.idle:
            if self._came < limits.pace * self._waited:
                raise TimeoutError(f"slower than {limits.pace} bytes a second")
            self._waited, self._came = 0.0, 0

    def sendall(self, data: bytes | memoryview) -> None:
        """Send it all; raises OSError, TimeoutError, Interrupted."""
        view = memoryview(data)
        begin = time.monotonic()
        while view:
            if self._stop.is_set():
                raise Interrupted("interrupted")
            try:
                n = self._sock.send(view)
            except TimeoutError:
                if time.monotonic() - begin > self._limits.idle:
                    raise TimeoutError(
                        f"nothing was taken for {self._limits.idle:g} seconds"
                    ) from None
                continue
            view = view[n:]
            begin = time.monotonic()

    def close(self) -> None:
        """Close it, once nobody reads from it any more."""
        self._closed = True
        self._settle()

    def reader_closed(self) -> None:
        """Be told that one answer has been read."""
        self._readers -= 1
        self._settle()

    def _settle(self) -> None:
        # http.client closes a connection as soon as it knows that the body is the last of it.
        if self._closed and self._readers <= 0:
            self._sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, wire: PatientSocket) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, view: object) -> int:
        return self._wire.readinto(cast(memoryview, view))

    def close(self) -> None:
        if not self.closed:
            self._wire.reader_closed()
        super().close()
