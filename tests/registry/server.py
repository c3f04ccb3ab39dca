"""A registry made up for a test, which may do anything: a function that answers requests."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.images import Made, compressed, sha256


class Request(NamedTuple):
    """What a client has sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """What is answered; `body` may be pieces, of which the length is said in `headers` or not."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes | Iterable[bytes] = b""


class Server:
    """A server that runs: where it is, and all that it was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def paths(self, method: str = "GET") -> list[str]:
        return [each.path for each in self.asked if each.method == method]


@contextmanager
def serving(answer: Callable[[Request], Reply | None], host: str = "127.0.0.1") -> Iterator[Server]:
    """Give a server that answers as the function says; where it says nothing, with 404."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            request = Request(self.command, self.path, dict(self.headers), self._body())
            server.asked.append(request)
            reply = answer(request) or Reply(404)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            whole = reply.body if isinstance(reply.body, bytes) else None
            if whole is not None and "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(whole)))
            elif whole is None and "Content-Length" not in reply.headers:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if self.command == "HEAD":
                return
            try:
                for piece in [reply.body] if isinstance(reply.body, bytes) else reply.body:
                    self.wfile.write(piece)
                    self.wfile.flush()
            except OSError:
                self.close_connection = True
            except StopServing:
                self.close_connection = True

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

        def log_message(self, *_: object) -> None:
            return

    http = ThreadingHTTPServer((host, 0), Handler)
    http.daemon_threads = True
    server = Server(f"{host}:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class StopServing(Exception):
    """Raised by a body's pieces: the connection is closed in the middle of it."""


MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"


class Content(NamedTuple):
    """An image as a registry has it: its manifest, and all blobs by their digests."""

    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def layers(self) -> list[str]:
        return list(self.blobs)[1:]


def content(image: Made, compression: str = "gzip") -> Content:
    """Return an image in the form of a registry."""
    import json

    blobs = {image.id: image.config}
    layers = []
    for layer in image.layers:
        blob = compressed(layer, compression)
        blobs[sha256(blob)] = blob
        kind = LAYER if compression == "none" else f"{LAYER}+{compression}"
        layers.append({"mediaType": kind, "digest": sha256(blob), "size": len(blob)})
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": image.id, "size": len(image.config)},
        "layers": layers,
    }
    return Content(json.dumps(manifest).encode(), blobs)


def honest(held: Content, name: str = "app", tag: str = "1") -> Callable[[Request], Reply | None]:
    """Return how a good registry answers that has one image."""
    digest = sha256(held.manifest)
    kind = INDEX if b'"manifests"' in held.manifest else MANIFEST

    def answer(request: Request) -> Reply | None:
        path = request.path.removeprefix(f"/v2/{name}/")
        if request.path == "/v2/":
            return Reply(200)
        if path in (f"manifests/{tag}", f"manifests/{digest}"):
            headers = {"Content-Type": kind, "Docker-Content-Digest": digest}
            return Reply(200, headers, held.manifest)
        blob = held.blobs.get(path.removeprefix("blobs/"))
        if blob is None:
            return None
        start = request.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        if start:
            said = f"bytes {start}-{len(blob) - 1}/{len(blob)}"
            return Reply(206, {"Content-Range": said}, blob[int(start) :])
        return Reply(200, {}, blob)

    return answer
