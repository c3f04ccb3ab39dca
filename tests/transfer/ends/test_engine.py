"""A daemon that is no friend: whatever it answers, what comes of it is one line, and no more."""

import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ferryman.errors import FerryError
from ferryman.operations import copy as copies
from ferryman.store.layout import open_store
from tests.images import docker_archive, layout, packed, small, unpacked

Answer = Callable[[BaseHTTPRequestHandler], None]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def answering(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a daemon that answers each question but the first one like this."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.close_connection = True
            try:
                answer(self)
            except OSError:
                return

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return

        def address_string(self) -> str:
            return ""

    with tempfile.TemporaryDirectory(prefix="ferry-") as folder:
        with _Server(f"{folder}/s", Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/s")
            yield
            server.shutdown()


def head(request: BaseHTTPRequestHandler, code: int = 200, length: int | None = None) -> None:
    request.send_response(code)
    if length is not None:
        request.send_header("Content-Length", str(length))
    request.send_header("Connection", "close")
    request.end_headers()


def whole(content: bytes, code: int = 200) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        head(request, code, len(content))
        request.wfile.write(content)

    return answer


def endless(request: BaseHTTPRequestHandler) -> None:
    head(request)
    while True:
        request.wfile.write(b"[" * (1 << 20))


def broken(request: BaseHTTPRequestHandler) -> None:
    head(request, length=1 << 20)
    request.wfile.write(b"{" * 1000)


def nothing(request: BaseHTTPRequestHandler) -> None:
    return


def no_http(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"SSH-2.0-OpenSSH\r\n")


ANSWERS: dict[str, Answer] = {
    "endless": endless,
    "broken": broken,
    "nothing": nothing,
    "no HTTP": no_http,
    "an error": whole(b'{"message": "a\\nb\\u001b[2J"}', 500),
    "a long error": whole(b'{"message": "' + b"x" * (1 << 20) + b'"}', 500),
    "no JSON": whole(b"<html>"),
    "other JSON": whole(b'[{"Id": 3}]'),
    "an ID that is none": whole(b'{"Id": "sha256:../../x"}'),
    "half an archive": whole(packed(docker_archive(small("a", "a:1")))[:3000]),
    "two images": whole(packed(docker_archive(small("a", "a:1"), small("b", "b:1")))),
}


# An archive may be as large as there is room for.
@pytest.mark.parametrize("name", [name for name in ANSWERS if name != "endless"])
def test_what_it_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    how = copies.means(lambda: open_store(str(tmp_path / "store")))
    source, target = copies.parse("docker-daemon:a:1"), copies.parse(f"dir:{tmp_path}/d")
    with answering(ANSWERS[name], monkeypatch), pytest.raises(FerryError) as raised:
        copies.copy(how, source, target)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ANSWERS)
def test_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    unpacked(layout(small("a", "a:1")), tmp_path / "oci")
    how = copies.means(lambda: open_store(str(tmp_path / "store")))
    source, target = copies.parse(f"oci:{tmp_path}/oci"), copies.parse("docker-daemon:a:1")
    with answering(ANSWERS[name], monkeypatch), pytest.raises(FerryError) as raised:
        copies.copy(how, source, target)
    assert "\n" not in str(raised.value)


def test_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = copies.means(lambda: open_store(str(tmp_path / "store")))
    for host in (f"unix://{tmp_path}/none", "tcp://127.0.0.1:1", "ssh://x", "tcp://[", "nonsense"):
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(FerryError, match="docker-daemon:a:1"):
            copies.copy(how, copies.parse("docker-daemon:a:1"), copies.parse(f"dir:{tmp_path}/d"))
