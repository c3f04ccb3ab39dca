"""One image, served on loopback to the engine of this host: OCI distribution protocol 1.1, "pull".

The standard library alone, as of Python 3.6: this file is sent to hosts.  A blob goes out while it
arrives; only who knows the name, which cannot be guessed, is answered.
"""

import base64
import contextlib
import hmac
import os
import re
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, Callable, Dict, Iterator, Optional

_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/]+)/(?P<kind>manifests|blobs)/(?P<what>[^/?]+)")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")
TAG = "1"
_PIECE = 1 << 20
_SECONDS = 300
"""After how long a client is given up that takes nothing."""


class Arrivals:
    """Blobs that are here, or wanted, or on their way; asked by the threads of the server."""

    def __init__(self, sizes: Dict[str, int], path: Callable[[str], str]) -> None:
        """Serve blobs of these sizes, by SHA-256; `path` gives the file of a whole one."""
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
        with self._changed:
            if digest not in self._here:
                if os.path.exists(self._path(digest)):
                    self._here[digest] = self.sizes[digest]
                else:
                    self._here[digest] = 0
                    self._wanted.append(digest)
                    self._changed.notify_all()
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


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    # The threads of clients that went silent are not waited for.
    block_on_close = False


@contextlib.contextmanager
def serving(name: str, target: str, documents: Dict[str, Any], arrivals: Arrivals) -> Iterator[int]:
    """Serve until the block ends, and give the port.

    `documents` are manifests, by their digests: media types, and contents in base64; `target` is
    the digest of the one that TAG stands for.
    """
    server = _Server(("127.0.0.1", 0), _handler(name, target, documents, arrivals))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.daemon = True
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        arrivals.end()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(name: str, target: str, documents: Dict[str, Any], arrivals: Arrivals) -> Any:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Who tries TLS first is to be told, in the clear, that this is none.
        default_request_version = "HTTP/1.1"
        timeout = _SECONDS

        def do_GET(self) -> None:
            self._answer(True)

        def do_HEAD(self) -> None:
            self._answer(False)

        def _answer(self, body: bool) -> None:
            if self.path.rstrip("/") == "/v2":
                self._document("application/json", b"{}", "", body)
                return
            match = _PATH.fullmatch(self.path.partition("?")[0])
            if match is None or not hmac.compare_digest(match.group("name"), name):
                self._missing()
                return
            what = match.group("what")
            if match.group("kind") == "manifests":
                digest = target if what == TAG else what
                if digest in documents:
                    media_type, content = documents[digest]
                    self._document(media_type, base64.b64decode(content), digest, body)
                    return
            elif what[len("sha256:") :] in arrivals.sizes and what.startswith("sha256:"):
                self._blob(what, body)
                return
            self._missing()

        def _head(self, code: int, headers: Dict[str, str]) -> None:
            self.send_response(code)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

        def _missing(self) -> None:
            said = b'{"errors":[{"code":"NAME_UNKNOWN","message":"not served here"}]}'
            self._head(404, {"Content-Type": "application/json", "Content-Length": str(len(said))})
            if self.command != "HEAD":
                self.wfile.write(said)

        def _document(self, media_type: str, content: bytes, digest: str, body: bool) -> None:
            headers = {"Content-Type": media_type, "Content-Length": str(len(content))}
            if digest:
                headers["Docker-Content-Digest"] = digest
            self._head(200, headers)
            if body:
                self.wfile.write(content)

        def _blob(self, digest: str, body: bool) -> None:
            encoded = digest[len("sha256:") :]
            size = arrivals.sizes[encoded]
            headers = {
                "Content-Type": "application/octet-stream",
                "Docker-Content-Digest": digest,
                "Accept-Ranges": "bytes",
            }
            first, end, code = 0, size, 200
            wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
            if wanted and int(wanted.group(1)) < size:
                first, code = int(wanted.group(1)), 206
                end = max(first, min(int(wanted.group(2) or size - 1) + 1, size))
                headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
            headers["Content-Length"] = str(end - first)
            self._head(code, headers)
            if body:
                self.wfile.flush()
                for piece in arrivals.read(encoded, first, end):
                    self.wfile.write(piece)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                # The client is gone, or what it wants does not come: it is to see the line end.
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
