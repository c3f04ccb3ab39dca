"""Registries that are busy, and connections that break: what is asked again, and from where on."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from ferryman.archive.stream import BytesStream
from ferryman.errors import FerryError, Interrupted
from ferryman.image import reference
from ferryman.image.digest import Digest
from ferryman.operations.pull import pull
from ferryman.registry import download, manifests, repository, upload
from ferryman.registry.failure import Denied
from ferryman.registry.hosts import Endpoint
from ferryman.registry.limits import Limits
from ferryman.registry.repository import Repository
from ferryman.registry.session import Session
from ferryman.store import partial
from ferryman.store.layout import Store
from ferryman.store.lease import hold
from tests.images import made, sha256, small
from tests.registry.conftest import USER, known_at
from tests.registry.server import Reply, Request, Server, StopServing, content, honest, serving

LIMITS = Limits(idle=5, attempts=4, pause=0.01, patience=2)
BLOB = bytes(range(256)) * 4096
DIGEST = Digest(sha256(BLOB))


def at(server: Server, *, chunk: int = 0, rate: int = 0, limits: Limits = LIMITS) -> Repository:
    session = Session(Endpoint("http", server.address), limits=limits, chunk=chunk, rate=rate)
    return Repository(session, "app", writes=True)


def failing(
    times: int, reply: Reply, then: Callable[[Request], Reply | None]
) -> Callable[..., Reply | None]:
    """Answer so often with `reply`, and then as `then` does."""
    left = times

    def answer(request: Request) -> Reply | None:
        nonlocal left
        left -= 1
        return reply if left >= 0 else then(request)

    return answer


HELD = content(small("an image"))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_who_is_busy_is_asked_again(status: int) -> None:
    with serving(failing(3, Reply(status), honest(HELD))) as server:
        assert manifests.get(at(server), "1").content == HELD.manifest
    with serving(failing(4, Reply(status), honest(HELD))) as server:
        with pytest.raises(FerryError, match=f"received unexpected HTTP status: {status}"):
            manifests.get(at(server), "1")
        assert len(server.asked) == 4


def test_as_long_as_it_wants_is_waited() -> None:
    busy = Reply(429, {"Retry-After": "1"})
    with serving(failing(1, busy, honest(HELD))) as server:
        begin = time.monotonic()
        manifests.get(at(server), "1")
        assert time.monotonic() - begin >= 1
    soon = Reply(503, {"Retry-After": formatdate(time.time() + 2, usegmt=True)})
    with serving(failing(1, soon, honest(HELD))) as server:
        manifests.get(at(server), "1")


def test_but_not_for_ever() -> None:
    with serving(lambda request: Reply(429, {"Retry-After": "3600"})) as server:
        with pytest.raises(FerryError, match="it asks to wait for 3600 seconds"):
            manifests.get(at(server), "1")
        assert len(server.asked) == 1


def test_what_is_refused_is_not_asked_again() -> None:
    with serving(lambda request: Reply(403)) as server:
        with pytest.raises(Denied):
            manifests.get(at(server), "1")
        assert len(server.asked) == 1


def test_ctrl_c_ends_the_waiting() -> None:
    stop = threading.Event()
    with serving(lambda request: Reply(429, {"Retry-After": "2"})) as server:
        session = Session(Endpoint("http", server.address), limits=LIMITS, stop=stop)
        threading.Timer(0.1, stop.set).start()
        begin = time.monotonic()
        with pytest.raises(Interrupted):
            manifests.get(Repository(session, "app"), "1")
        assert time.monotonic() - begin < 1.5


def breaking(every: int, *, ranges: bool = True) -> Callable[[Request], Reply | None]:
    """Serve the blob, but break off after so many bytes, each time."""

    def answer(request: Request) -> Reply:
        said = request.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        start = int(said or 0) if ranges else 0
        rest = BLOB[start:]

        def pieces() -> Iterator[bytes]:
            limit = every if ranges else every * sum(1 for _ in server_of.asked)
            yield rest[:limit]
            if len(rest) > limit:
                raise StopServing

        headers = {"Content-Length": str(len(rest))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"
        return Reply(206 if start else 200, headers, pieces())

    server_of: Server

    def bind(server: Server) -> None:
        nonlocal server_of
        server_of = server

    answer.bind = bind  # type: ignore[attr-defined]
    return answer


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blob_goes_on_where_it_broke_off(*, ranges: bool) -> None:
    answer = breaking(300_000, ranges=ranges)
    with serving(answer) as server:
        answer.bind(server)  # type: ignore[attr-defined]
        with download.opened(at(server), DIGEST, len(BLOB)) as blob:
            assert blob.read(len(BLOB) + 1) == BLOB
        starts = [each.headers.get("Range") for each in server.asked]
        assert len(starts) == 4
        assert starts[0] is None
        assert all(each and each.startswith("bytes=") for each in starts[1:])


def test_a_range_that_is_another() -> None:
    def answer(request: Request) -> Reply:
        return Reply(206, {"Content-Range": "bytes 0-9/10"}, b"x" * 10)

    with serving(answer) as server, download.opened(at(server), DIGEST, 20, 10) as blob:
        with pytest.raises(FerryError, match="asked for byte 10, was given 'bytes 0-9/10'"):
            blob.read(10)


def test_a_rate_is_kept() -> None:
    with serving(lambda request: Reply(200, {}, BLOB)) as server:
        begin = time.monotonic()
        with download.opened(at(server, rate=len(BLOB)), DIGEST, len(BLOB)) as blob:
            while blob.read(len(BLOB) // 4):
                continue
        assert 0.5 < time.monotonic() - begin < 3


class Uploads:
    """A registry that takes uploads, and fails in a way of its own."""

    def __init__(
        self, *, fail: Callable[[Request, bytes], Reply | None] = lambda r, c: None
    ) -> None:
        self.content = b""
        self.done: dict[str, bytes] = {}
        self._fail = fail

    def __call__(self, request: Request) -> Reply | None:
        if failed := self._fail(request, self.content):
            return failed
        where = {"Location": "/v2/app/blobs/uploads/1?state=x"}
        path, _, query = request.path.partition("?")
        match request.method:
            case "POST":
                self.content = b""
                return Reply(202, where)
            case "PATCH":
                said = request.headers.get("Content-Range", "").partition("-")[0]
                if said and int(said) != len(self.content):
                    return Reply(416)
                self.content += request.body
                return Reply(202, where)
            case "GET" if "uploads" in path:
                return Reply(204, {**where, "Range": f"0-{max(0, len(self.content) - 1)}"})
            case "PUT" if "digest=" in query:
                whole = self.content + request.body
                digest = query.rpartition("digest=")[2].replace("%3A", ":")
                if sha256(whole) != digest:
                    return Reply(400, {}, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
                self.done[digest] = whole
                return Reply(201)
        return None


def source(start: int) -> BytesStream:
    return BytesStream(BLOB[start:])


def test_an_upload_is_one_request() -> None:
    uploads = Uploads()
    with serving(uploads) as server:
        upload.send(at(server), DIGEST, len(BLOB), source)
        assert uploads.done == {DIGEST: BLOB}
        assert [each.method for each in server.asked] == ["POST", "PUT"]


def test_an_upload_in_chunks() -> None:
    uploads = Uploads()
    with serving(uploads) as server:
        told: list[int] = []
        upload.send(at(server, chunk=300_000), DIGEST, len(BLOB), source, told.append)
        assert uploads.done == {DIGEST: BLOB}
        sizes = [len(each.body) for each in server.asked if each.method == "PATCH"]
        assert sizes == [300_000, 300_000, 300_000, len(BLOB) - 900_000]
        assert max(told) == len(BLOB)


@pytest.mark.parametrize("chunk", [0, 300_000])
def test_an_upload_of_no_known_size(chunk: int) -> None:
    uploads = Uploads()
    with serving(uploads) as server:
        sent = upload.stream(at(server, chunk=chunk), source)
        assert sent == (DIGEST, len(BLOB))
        assert uploads.done == {DIGEST: BLOB}


def test_what_is_too_large_goes_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_CHUNK", 500_000)

    def small_only(request: Request, _: bytes) -> Reply | None:
        return Reply(413) if len(request.body) > 500_000 else None

    uploads = Uploads(fail=small_only)
    with serving(uploads) as server:
        upload.send(at(server), DIGEST, len(BLOB), source)
        assert uploads.done == {DIGEST: BLOB}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_upload_goes_on(status: int, *, known: bool) -> None:
    """After what the registry has of it, once it has failed in the middle."""
    failures = 2

    def half(request: Request, _: bytes) -> Reply | None:
        nonlocal failures
        if request.method in ("PUT", "PATCH") and len(request.body) > 1000 and failures:
            failures -= 1
            uploads.content += request.body[: len(request.body) // 2]
            return Reply(status)
        return None

    uploads = Uploads(fail=half)
    with serving(uploads) as server:
        if known:
            upload.send(at(server), DIGEST, len(BLOB), source)
        else:
            assert upload.stream(at(server), source) == (DIGEST, len(BLOB))
        assert uploads.done == {DIGEST: BLOB}
        sent = [len(each.body) for each in server.asked if each.method in ("PUT", "PATCH")]
        assert sent[:3] == [len(BLOB), len(BLOB) // 2, len(BLOB) // 4]


def test_an_upload_that_was_forgotten_begins_again() -> None:
    lost = 1

    def forgotten(request: Request, _: bytes) -> Reply | None:
        nonlocal lost
        if request.method == "PUT" and lost:
            lost -= 1
            return Reply(500)
        return Reply(404) if request.method == "GET" else None

    uploads = Uploads(fail=forgotten)
    with serving(uploads) as server:
        upload.send(at(server), DIGEST, len(BLOB), source)
        assert [each.method for each in server.asked] == ["POST", "PUT", "GET", "POST", "PUT"]
        assert uploads.done == {DIGEST: BLOB}


def test_uploads_that_never_work_end() -> None:
    uploads = Uploads(fail=lambda r, c: Reply(503) if r.method == "PUT" else None)
    with serving(uploads) as server:
        with pytest.raises(FerryError, match="received unexpected HTTP status: 503"):
            upload.send(at(server), DIGEST, len(BLOB), source)
        assert len(server.asked) < 20


def test_an_upload_elsewhere_takes_no_credentials() -> None:
    uploads = Uploads()
    with serving(uploads, "127.0.0.2") as elsewhere:

        def away(request: Request) -> Reply | None:
            if "Authorization" not in request.headers:
                return Reply(401, {"WWW-Authenticate": "Basic realm=r"})
            return Reply(202, {"Location": f"{elsewhere.url}/upload?token=x"})

        with serving(away) as server:
            session = Session(Endpoint("http", server.address), USER, limits=LIMITS)
            upload.send(Repository(session, "app", writes=True), DIGEST, len(BLOB), source)
        assert uploads.done == {DIGEST: BLOB}
        assert not any("Authorization" in each.headers for each in elsewhere.asked)


def test_tags_come_in_pages() -> None:
    def answer(request: Request) -> Reply:
        if "last" in request.path:
            return Reply(200, {}, b'{"tags": ["c"]}')
        return Reply(
            200, {"Link": '</v2/app/tags/list?last=b>; rel="next"'}, b'{"tags": ["a","b"]}'
        )

    with serving(answer) as server:
        assert repository.tags(at(server)) == ["a", "b", "c"]


def test_pages_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "_MAX_PAGES", 20)
    link = {"Link": '</v2/app/tags/list?again>; rel="next"'}
    with serving(lambda request: Reply(200, link, b'{"tags": []}')) as server:
        with pytest.raises(FerryError, match="the list of its tags has no end"):
            repository.tags(at(server))


def test_a_token_is_renewed() -> None:
    given = 0

    def answer(request: Request) -> Reply | None:
        nonlocal given
        if request.path.startswith("/token"):
            given += 1
            return Reply(200, {}, b'{"token": "t%d"}' % given)
        if request.headers.get("Authorization") != f"Bearer t{max(2, given)}":
            realm = f"http://{request.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="s",scope="repository:app:pull"'
            return Reply(401, {"WWW-Authenticate": challenge})
        return honest(HELD)(request)

    with serving(answer) as server:
        found = at(server)
        found.session.ping()
        assert manifests.get(found, "1").content == HELD.manifest
        assert given == 2
        assert manifests.get(found, "1").content == HELD.manifest
        assert given == 2


def test_a_pull_goes_on_with_what_is_here(opened: Store) -> None:
    layer = hashlib.shake_256(b"layer").digest(500_000)
    held = content(made(layer))
    (digest,) = held.layers
    blob = held.blobs[digest]

    def breaking_off(request: Request) -> Reply | None:
        if digest not in request.path:
            return honest(held)(request)
        if "Range" in request.headers:
            return Reply(404)

        def pieces() -> Iterator[bytes]:
            yield blob[:200_000]
            raise StopServing

        return Reply(200, {"Content-Length": str(len(blob))}, pieces())

    with serving(breaking_off) as server:
        name = reference.parse(f"{server.address}/app:1")
        with pytest.raises(FerryError):
            pull(opened, name)
        there = partial.size(opened)
        assert 0 < there <= 200_000
    for damage in (b"", b"damaged"):
        path = Path(opened.partial, *digest.split(":"))
        with hold(opened):
            begun = path.read_bytes() if path.exists() else blob[:there]
        path.write_bytes(damage + begun[len(damage) :])
        with serving(honest(held)) as server:
            name = reference.parse(f"{server.address}/app:1")
            pull(opened, name)
            ranges = [r.headers.get("Range") for r in server.asked if digest in r.path]
            assert ranges == [f"bytes={len(begun)}-", *([None] if damage else [])]
            assert not path.exists()
        break_up(opened)


def break_up(store: Store) -> None:
    from ferryman.operations.remove import prune

    prune(store, lambda image: False)


def test_a_mirror_is_asked_first(opened: Store, tmp_path: Path) -> None:
    with serving(honest(HELD)) as upstream:
        domain = upstream.address
        settings = tmp_path / "registries.toml"
        with serving(honest(HELD)) as mirror:
            settings.write_text(f'[mirrors]\n"{domain}" = ["{mirror.url}"]\n')
            known_at(domain)
            pull(opened, reference.parse(f"{domain}/app:1"))
            assert mirror.paths()
            assert not upstream.asked
            # Who the user is at one registry is nothing to another.
            assert not any("Authorization" in each.headers for each in mirror.asked)
        break_up(opened)
        settings.write_text(f'[mirrors]\n"{domain}" = ["http://127.0.0.1:1"]\n')
        pull(opened, reference.parse(f"{domain}/app:1"))
        assert upstream.asked
        break_up(opened)
        with serving(lambda r: Reply(200) if r.path == "/v2/" else None) as empty:
            settings.write_text(f'[mirrors]\n"{domain}" = ["{empty.url}"]\n')
            pull(opened, reference.parse(f"{domain}/app:1"))
