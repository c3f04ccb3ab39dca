"""One image, served read-only on loopback over the OCI distribution protocol 1.1 ("pull").

Whoever may open a port of loopback might ask; only who knows the name, which cannot be guessed, is
answered.  The standard library alone, as of Python 3.6: this file is sent to hosts, too.
"""

import contextlib
import hmac
import re
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Dict, Iterator, Mapping, NamedTuple, Optional, Tuple, Type

_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+)/(?P<kind>manifests|blobs)/(?P<what>[^/?]+)")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")
TAG = "1"
_TIMEOUT = struct.pack("ll", 300, 0)  # seconds, microseconds: of a client that went silent


class Image(NamedTuple):
    """What is served beside blobs: manifests, by their digests, with their media types."""

    name: str
    target: str
    """The digest of the manifest that TAG stands for."""
    documents: Mapping[str, Tuple[str, bytes]]


class Handler(BaseHTTPRequestHandler):
    """Answers a client; each image has a class of its own, which knows its blobs."""

    image = Image("", "", {})
    protocol_version = "HTTP/1.1"
    # Who tries TLS first is to be told, in the clear, that this is none.
    default_request_version = "HTTP/1.1"

    def size(self, digest: str) -> Optional[int]:
        """Return the bytes of a blob; None where the image has no such blob."""
        raise NotImplementedError

    def blob(self, digest: str, size: int, body: bool) -> None:
        """Answer with a blob, or with its head alone."""
        raise NotImplementedError

    def setup(self) -> None:
        """Let a client that went silent be given up."""
        super().setup()
        # The kernel's limits: with Python's own, the socket would not wait for sendfile.
        for side in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.connection.setsockopt(socket.SOL_SOCKET, side, _TIMEOUT)

    def do_GET(self) -> None:
        """Answer."""
        self._answer(True)

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(False)

    def _answer(self, body: bool) -> None:
        if self.path.rstrip("/") == "/v2":
            self._document("application/json", b"{}", "", body)
            return
        match = _PATH.fullmatch(self.path.partition("?")[0])
        if match is None or not hmac.compare_digest(match.group("name"), self.image.name):
            self._missing()
            return
        what = match.group("what")
        if match.group("kind") == "manifests":
            digest = self.image.target if what == TAG else what
            if digest in self.image.documents:
                self._document(*self.image.documents[digest], digest, body)
                return
        else:
            size = self.size(what)
            if size is not None:
                self.blob(what, size, body)
                return
        self._missing()

    def head(self, code: int, headers: Dict[str, str]) -> None:
        """Send all that stands before a body."""
        self.send_response(code)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.flush()

    def part(self, size: int, headers: Dict[str, str]) -> Tuple[int, int, int]:
        """Return the code for what is wanted of so many bytes, and where that begins and ends.

        Headers are added that say so.
        """
        headers["Accept-Ranges"] = "bytes"
        first, end, code = 0, size, 200
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if wanted and int(wanted.group(1)) < size:
            first, code = int(wanted.group(1)), 206
            end = max(first, min(int(wanted.group(2) or size - 1) + 1, size))
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - first)
        return code, first, end

    def _missing(self) -> None:
        said = b'{"errors":[{"code":"NAME_UNKNOWN","message":"not served here"}]}'
        self.head(404, {"Content-Type": "application/json", "Content-Length": str(len(said))})
        if self.command != "HEAD":
            self.wfile.write(said)

    def _document(self, media_type: str, content: bytes, digest: str, body: bool) -> None:
        headers = {"Content-Type": media_type, "Content-Length": str(len(content))}
        if digest:
            headers["Docker-Content-Digest"] = digest
        self.head(200, headers)
        if body:
            self.wfile.write(content)

    def handle(self) -> None:
        """Answer until the client is gone."""
        try:
            super().handle()
        except OSError:
            # Or what it wants does not come: it is to see the line end.
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    # The threads of clients that went silent are not waited for.
    block_on_close = False


@contextlib.contextmanager
def serving(handler: Type[Handler]) -> Iterator[int]:
    """Serve until the block ends, and give the port."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.daemon = True
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
