"""An archive on its way to a docker daemon: one writes it to a pipe, a thread sends it on."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from ferryman.errors import FerryError, InvalidImage
from ferryman.image.decode import decode
from ferryman.transfer.ends.engine import Daemon

if TYPE_CHECKING:
    import httpx

_PIECE = 1 << 18
_MAX_SAID = 1 << 20
_SECONDS = 2.0


class _Said(msgspec.Struct, frozen=True):
    error: str = ""


class _Unfinished(Exception):
    """The request is to be broken off: a shorter archive might be taken for a whole one."""


class Loading:
    """A request that sends what is written to `fd`, and what came of it."""

    def __init__(self, daemon: Daemon) -> None:
        """Begin."""
        self._daemon = daemon
        self._out, self.fd = os.pipe2(os.O_CLOEXEC)
        self._whole = False
        self._error: FerryError | None = None
        self._thread = threading.Thread(target=self._send, name="loading", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """End the archive, and wait until it is loaded; raises CopyError."""
        self._whole = True
        self._end()
        self._thread.join()
        if self._error:
            raise self._error

    def broken(self) -> FerryError:
        """Return why nobody reads what is written any more."""
        self._thread.join()
        return self._error or self._daemon.error("it stopped reading")

    def close(self) -> None:
        """Break off what is not finished."""
        self._end()
        # A daemon that has all of it answers when it likes, and nobody waits for that any more.
        self._thread.join(_SECONDS)

    def _end(self) -> None:
        if self.fd != -1:
            os.close(self.fd)
            self.fd = -1

    def _send(self) -> None:
        import httpx

        try:
            with self._daemon.client.stream(
                "POST",
                "/images/load",
                params={"quiet": "1"},
                headers={"Content-Type": "application/x-tar"},
                content=self._content(),
            ) as answer:
                if answer.status_code != 200:
                    raise self._daemon.failed(answer)
                self._hear(answer)
        except httpx.HTTPError as e:
            self._error = self._daemon.broken(e)
        except _Unfinished:
            return
        except FerryError as e:
            self._error = e
        finally:
            # Whoever writes is not to wait for a reader that has gone.
            os.close(self._out)

    def _content(self) -> Iterator[bytes]:
        while piece := os.read(self._out, _PIECE):
            yield piece
        if not self._whole:
            raise _Unfinished

    def _hear(self, answer: "httpx.Response") -> None:
        heard, rest = 0, b""
        for piece in answer.iter_raw(_PIECE):
            heard += len(piece)
            if heard > _MAX_SAID:
                raise self._daemon.error("it says too much")
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._check(line)
        self._check(rest)

    def _check(self, line: bytes) -> None:
        with suppress(InvalidImage):
            if error := decode(line, _Said, "answer").error:
                raise self._daemon.error(error)
