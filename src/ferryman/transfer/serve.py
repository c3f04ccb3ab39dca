"""One image, served read-only on loopback over the OCI distribution protocol 1.1 ("pull").

Whoever may open a port of loopback might ask; only who knows the name, which cannot be guessed, is
answered.  Content goes out as it is stored, pressed for the line where the client takes gzip: what
it checks is the blob's digest all the same.
"""

import os
import re
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.pressed import Pressed

_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+)/(?P<kind>manifests|blobs)/(?P<what>[^/?]+)")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")
_TAG = "1"
_TIMEOUT = struct.pack("ll", 300, 0)  # seconds, microseconds: of a client that went silent


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
        return f"127.0.0.1:{port}/{self.name}:{_TAG}"


@contextmanager
def serving(content: Content, pace: Pace, heard: Callable[[int], None]) -> Iterator[Served]:
    """Serve until the block ends; `heard` is told of the bytes that go out."""
    name = f"ferry/{secrets.token_hex(16)}"
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(content, name, pace, heard)) as server:
        server.daemon_threads = True
        # The threads of clients that went silent are not waited for.
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Served(server.server_address[1], name)
        finally:
            server.shutdown()
            thread.join()


def _handler(
    content: Content, name: str, pace: Pace, heard: Callable[[int], None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Who tries TLS first is to be told, in the clear, that this is none.
        default_request_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            # The kernel's limits: with Python's own, the socket would not wait for sendfile.
            for side in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self.connection.setsockopt(socket.SOL_SOCKET, side, _TIMEOUT)

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            if self.path.rstrip("/") == "/v2":
                self._document(b"{}", "application/json", None, body)
                return
            match = _PATH.fullmatch(self.path.partition("?")[0])
            found = match and secrets.compare_digest(match["name"], name) and match
            if not found:
                self._missing()
            elif found["kind"] == "manifests":
                digest = content.target.id if found["what"] == _TAG else Digest(found["what"])
                if digest in content.documents:
                    media_type, document = content.documents[digest]
                    self._document(document, media_type, digest, body)
                else:
                    self._missing()
            elif (digest := Digest(found["what"])) in content.blobs:
                self._blob(digest, content.blobs[digest], body)
            else:
                self._missing()

        def _takes_gzip(self) -> bool:
            return "gzip" in self.headers.get("Accept-Encoding", "")

        def _head(self, code: int, headers: dict[str, str]) -> None:
            self.send_response(code)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.flush()

        def _missing(self) -> None:
            said = b'{"errors":[{"code":"NAME_UNKNOWN","message":"not served here"}]}'
            self._head(404, {"Content-Type": "application/json", "Content-Length": str(len(said))})
            if self.command != "HEAD":
                self.wfile.write(said)

        def _document(
            self, document: bytes, media_type: str, digest: Digest | None, body: bool
        ) -> None:
            headers = {"Content-Type": media_type, "Content-Length": str(len(document))}
            if digest:
                headers["Docker-Content-Digest"] = str(digest)
            self._head(200, headers)
            if body:
                self.wfile.write(document)

        def _blob(self, digest: Digest, size: int, body: bool) -> None:
            headers = {
                "Content-Type": "application/octet-stream",
                "Docker-Content-Digest": str(digest),
                "Accept-Ranges": "bytes",
            }
            wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
            if wanted and int(wanted[1]) < size:
                first = int(wanted[1])
                last = min(int(wanted[2] or size - 1), size - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
                headers["Content-Length"] = str(max(0, last - first + 1))
                self._head(206, headers)
                if body:
                    self._plain(digest, first, max(0, last - first + 1))
            elif body and (url := content.elsewhere(digest, self._takes_gzip())):
                self._head(307, {"Location": url, "Content-Length": "0"})
            elif body and digest in content.plain and self._takes_gzip():
                # How long it will be shows when it is sent: the end of the connection is its end.
                headers |= {"Content-Encoding": "gzip", "Connection": "close"}
                self.close_connection = True
                self._head(200, headers)
                content.pressed(digest, size).send(self._line())
            else:
                self._head(200, {**headers, "Content-Length": str(size)})
                if body:
                    self._plain(digest, 0, size)

        def _line(self) -> Line:
            return Line(self.connection.fileno(), pace, heard)

        def _plain(self, digest: Digest, start: int, size: int) -> None:
            fd = content.open_blob(digest)
            try:
                self._line().copy(fd, start, size)
            finally:
                os.close(fd)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True  # the client is gone

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
