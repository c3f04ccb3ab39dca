"""An image of the store, served on loopback to engines that pull it.

Content goes out as it is stored, pressed for the line where the client takes gzip: what it checks
is the blob's digest all the same.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.transfer.agent import registry
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.pressed import Pressed


class Content(NamedTuple):
    """What is served: a manifest, and the blobs that it leads to."""

    target: Descriptor
    documents: dict[Digest, tuple[str, bytes]]
    """Manifests and indexes: their media types and bytes."""
    blobs: dict[Digest, int]
    open_blob: Callable[[Digest], int]
    pressed: Callable[[Digest, int], Pressed]
    plain: frozenset[Digest]
    """Those that are worth being pressed."""
    elsewhere: Callable[[Digest, bool], str | None] = lambda digest, takes_gzip: None
    """Says of a blob where else it is to be had: whole, or packed for a client that takes gzip."""


class Served(NamedTuple):
    """A server that runs: its port, and the name of the image there."""

    port: int
    name: str

    def reference(self, port: int) -> str:
        """Return the image's name where the server is reached by another port."""
        return reference(self.name, str(port))


def secret_name() -> str:
    """Return a name for an image that nobody can guess."""
    return f"ferry/{secrets.token_hex(16)}"


def reference(name: str, port: str) -> str:
    """Return what an image is pulled by that is served on a port of loopback."""
    return f"127.0.0.1:{port}/{name}:{registry.TAG}"


@contextmanager
def serving(content: Content, pace: Pace, heard: Callable[[int], None]) -> Iterator[Served]:
    """Serve until the block ends; `heard` is told of the bytes that go out."""
    name = secret_name()
    with registry.serving(_handler(content, name, pace, heard)) as port:
        yield Served(port, name)


def _handler(
    content: Content, name: str, pace: Pace, heard: Callable[[int], None]
) -> type[registry.Handler]:
    documents = {str(digest): each for digest, each in content.documents.items()}

    class Handler(registry.Handler):
        image = registry.Image(name, content.target.digest, documents)

        def size(self, digest: str) -> int | None:
            return content.blobs.get(Digest(digest))

        def blob(self, digest: str, size: int, body: bool) -> None:
            blob = Digest(digest)
            headers = {
                "Content-Type": "application/octet-stream",
                "Docker-Content-Digest": digest,
            }
            code, first, end = self.part(size, headers)
            whole = code == 200 and body
            if whole and (url := content.elsewhere(blob, self._takes_gzip())):
                self.head(307, {"Location": url, "Content-Length": "0"})
            elif whole and blob in content.plain and self._takes_gzip():
                # How long it will be shows when it is sent: the end of the connection is its end.
                del headers["Content-Length"]
                self.head(200, {**headers, "Content-Encoding": "gzip", "Connection": "close"})
                self.close_connection = True
                content.pressed(blob, size).send(self._line())
            else:
                self.head(code, headers)
                if body:
                    self._plain(blob, first, end - first)

        def _takes_gzip(self) -> bool:
            return "gzip" in self.headers.get("Accept-Encoding", "")

        def _line(self) -> Line:
            return Line(self.connection.fileno(), pace, heard)

        def _plain(self, digest: Digest, start: int, size: int) -> None:
            fd = content.open_blob(digest)
            try:
                self._line().copy(fd, start, size)
            finally:
                os.close(fd)

    return Handler
