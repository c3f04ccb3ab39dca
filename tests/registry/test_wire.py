"""URLs, proxies and connections."""

import pytest

from ferryman.errors import FerryError
from ferryman.registry import manifests
from ferryman.registry import url as urls
from ferryman.registry.hosts import Endpoint
from ferryman.registry.limits import Limits
from ferryman.registry.repository import Repository
from ferryman.registry.session import Session
from tests.images import small
from tests.registry.server import Reply, Request, content, honest, serving

HELD = content(small("an image"))


@pytest.mark.parametrize(
    ("text", "shown", "target"),
    [
        ("https://a.example", "https://a.example/", "/"),
        ("https://a.example:443/x?y=z", "https://a.example/x", "/x?y=z"),
        ("http://user:secret@a.example:8080/x", "http://a.example:8080/x", "/x"),
        ("http://[::1]:5000/v2/", "http://[::1]:5000/v2/", "/v2/"),
        ("HTTPS://A.EXAMPLE/", "https://a.example/", "/"),
    ],
)
def test_urls(text: str, shown: str, target: str) -> None:
    url = urls.parse(text)
    assert (url.shown, url.target) == (shown, target)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/c", "https://a.example:5/c"),
        ("c?d", "https://a.example:5/v2/c"),
        ("//b.example/c", "https://b.example/c"),
        ("http://b.example/c", "http://b.example/c"),
    ],
)
def test_relative_ones(text: str, found: str) -> None:
    assert urls.parse(text, urls.parse("https://a.example:5/v2/x")).shown == found


@pytest.mark.parametrize(
    "text", ["", "x", "ftp://a/", "http://", "http://a:99999/", "http://a/\r\nX: y", "http://ä/"]
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(FerryError, match="invalid URL"):
        urls.parse(text)


def fetched(host: str) -> bytes:
    session = Session(Endpoint("http", host), limits=Limits(attempts=1, connect=1))
    return manifests.get(Repository(session, "app"), "1").content


def test_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def proxy(request: Request) -> Reply | None:
        assert request.headers["Proxy-Authorization"] == "Basic bWU6aXQ="
        assert request.headers["Host"] == "registry.example:5000"
        path = request.path.removeprefix("http://registry.example:5000")
        return honest(HELD)(request._replace(path=path))

    with serving(proxy) as server:
        monkeypatch.setenv("http_proxy", f"http://me:it@{server.address}")
        assert fetched("registry.example:5000") == HELD.manifest
        monkeypatch.setenv("no_proxy", "example.com, .example")
        with pytest.raises(FerryError, match=r"no such host|i/o timeout|connect: "):
            fetched("registry.example:5000")
        assert len(server.asked) == 1


def test_this_machine_is_not_asked_for_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(honest(HELD)) as server:
        assert fetched(server.address) == HELD.manifest


def test_a_proxy_that_refuses_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    session = Session(Endpoint("https", "registry.example"), limits=Limits(attempts=1))
    with pytest.raises(FerryError, match=r"dial tcp 127\.0\.0\.1:1: connect: connection refused"):
        manifests.get(Repository(session, "app"), "1")
    with serving(lambda request: Reply(407)) as server:
        monkeypatch.setenv("https_proxy", server.url)
        with pytest.raises(FerryError, match=r"the proxy refused: http/1\.1 501"):
            manifests.get(Repository(session, "app"), "1")


def test_connections_are_kept() -> None:
    with serving(honest(HELD)) as server:
        session = Session(Endpoint("http", server.address))
        for _ in range(5):
            session.ping()
            manifests.get(Repository(session, "app"), "1")
        assert len(server.asked) == 10
        assert len(session._pool._idle) == 1
        assert len(next(iter(session._pool._idle.values()))) == 1
        session.close()


def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    with serving(honest(HELD)) as server:
        session = Session(Endpoint("http", server.address), limits=Limits(attempts=1))
        session.ping()
        (idle,) = session._pool._idle.values()
        idle[0].wire._sock.shutdown(2)
        assert manifests.get(Repository(session, "app"), "1").content == HELD.manifest
        session.close()
