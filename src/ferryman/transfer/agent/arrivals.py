"""Blobs on their way to an engine that pulls them: each goes out while it arrives.

The standard library alone, as of Python 3.6: this file is sent to hosts.
"""

import contextlib
import os
import threading
from collections import deque
from typing import Any, Callable, Dict, Iterator, Optional, Type

from ferryman.transfer.agent import registry

_PIECE = 1 << 20
_SHA256 = "sha256:"


class Arrivals:
    """Blobs that are here, or wanted, or on their way; asked by the threads of a server."""

    def __init__(self, sizes: Dict[str, int], path: Callable[[str], str]) -> None:
        """Know blobs of these sizes, by SHA-256; `path` gives the file of a whole one."""
        self.sizes = sizes
        self._path = path
        self._changed = threading.Condition()
        self._here = {}  # type: Dict[str, int]
        self._wanted = deque()  # type: deque[str]
        self._ended = False

    def next(self) -> Optional[str]:
        """Wait for a blob that somebody wants and is not here; None once nobody will want any."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._wanted) or self._ended)
            return None if self._ended else self._wanted.popleft()

    def arrived(self, digest: str, size: int) -> None:
        """Let so many bytes of a blob be here: of ``….part``, or of the whole file."""
        with self._changed:
            self._here[digest] = size
            self._changed.notify_all()

    def end(self) -> None:
        """Give up what is wanted: the engine has ended, or the line."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def read(self, digest: str, at: int, end: int) -> Iterator[bytes]:
        """Yield some bytes of a blob as they come; raises OSError when they do not."""
        self._want(digest)
        file = None  # type: Any
        try:
            while at < end:
                here = self._wait(digest, at)
                if file is None:
                    file = self._opened(digest)
                piece = os.pread(file.fileno(), min(here, end, at + _PIECE) - at, at)
                if not piece:
                    raise OSError("a file has become shorter")
                yield piece
                at += len(piece)
        finally:
            if file:
                file.close()

    def _want(self, digest: str) -> None:
        with self._changed:
            if digest in self._here:
                return
            if os.path.exists(self._path(digest)):
                self._here[digest] = self.sizes[digest]
            else:
                self._here[digest] = 0
                self._wanted.append(digest)
                self._changed.notify_all()

    def _wait(self, digest: str, at: int) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._here[digest] > at or self._ended)
            if self._here[digest] <= at:
                raise OSError("it does not arrive")
            return self._here[digest]

    def _opened(self, digest: str) -> Any:
        """Open a blob, which may become whole at this moment."""
        for path in (self._path(digest) + ".part", self._path(digest)):
            with contextlib.suppress(FileNotFoundError):
                return open(path, "rb")
        raise OSError("it is gone")


def handler(image: registry.Image, arrivals: Arrivals) -> Type[registry.Handler]:
    """Return what answers the clients of an image whose blobs arrive."""

    class Handler(registry.Handler):
        def size(self, digest: str) -> Optional[int]:
            known = digest.startswith(_SHA256)
            return arrivals.sizes.get(digest[len(_SHA256) :]) if known else None

        def blob(self, digest: str, size: int, body: bool) -> None:
            headers = {
                "Content-Type": "application/octet-stream",
                "Docker-Content-Digest": digest,
            }
            code, first, end = self.part(size, headers)
            self.head(code, headers)
            if body:
                for piece in arrivals.read(digest[len(_SHA256) :], first, end):
                    self.wfile.write(piece)

    Handler.image = image
    return Handler
