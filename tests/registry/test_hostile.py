"""A registry that means harm, or knows no better: an error in one line, and nothing left."""

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ferryman.errors import FerryError
from ferryman.image import reference
from ferryman.image.digest import Digest
from ferryman.operations.pull import pull
from ferryman.registry import download, manifests
from ferryman.registry.hosts import Endpoint
from ferryman.registry.limits import Limits
from ferryman.registry.repository import Repository
from ferryman.registry.session import Session
from ferryman.store import blobs, partial
from ferryman.store.index import entries
from ferryman.store.layout import Store
from tests.images import made, sha256, small
from tests.registry.conftest import USER, known_at
from tests.registry.server import (
    MANIFEST,
    Content,
    Reply,
    Request,
    Server,
    content,
    honest,
    serving,
)

IMAGE = small("an image")
SECRETS = (USER.password, USER.basic.partition(" ")[2])
Answer = Callable[[Request], Reply | None]


def refused(store: Store, server: Server, name: str = "app:1") -> str:
    """Pull what cannot be pulled; return what is said of it."""
    with pytest.raises(FerryError) as raised:
        pull(store, reference.parse(f"{server.address}/{name}"))
    words = str(raised.value)
    assert "\n" not in words
    assert not any(secret in words for secret in SECRETS)
    assert not entries(store)
    assert not list(blobs.present(store))
    assert not os.listdir(store.tmp)
    assert not os.listdir(store.leases)
    partial.prune(store, 0)
    return words


def with_manifest(document: object, held: Content | None = None) -> Content:
    return Content(json.dumps(document).encode(), held.blobs if held else {})


def before(answer: Answer, other: Answer) -> Answer:
    """Return what answers as `answer` does where it does, and else as the other."""
    return lambda request: answer(request) or other(request)


def test_the_honest_one_serves(opened: Store) -> None:
    with serving(honest(content(IMAGE))) as server:
        (pulled,) = pull(opened, reference.parse(f"{server.address}/app:1"))
    assert pulled.digest == sha256(content(IMAGE).manifest)
    assert not os.listdir(f"{opened.partial}/sha256")


@pytest.mark.parametrize("where", ["/v2/app/manifests/1", "/v2/app/blobs/"])
def test_redirects_without_an_end(opened: Store, where: str) -> None:
    def round_and_round(request: Request) -> Reply | None:
        if where in request.path:
            return Reply(307, {"Location": f"{request.path}?{len(request.path)}"})
        return None

    with serving(before(round_and_round, honest(content(IMAGE)))) as server:
        assert "stopped after 10 redirects" in refused(opened, server)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "without a Location"),
        ("file:///etc/passwd", "invalid URL 'file:///etc/passwd'"),
        ("http://[", "invalid URL"),
        ("http://a b/", "invalid URL"),
        ("http://127.0.0.1:1/?secret", 'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect:'),
    ],
)
def test_redirects_to_nowhere(opened: Store, location: str, words: str) -> None:
    def away(request: Request) -> Reply | None:
        return Reply(302, {"Location": location}) if "manifests" in request.path else None

    with serving(before(away, honest(content(IMAGE)))) as server:
        said = refused(opened, server)
        assert words in said
        assert "?secret" not in said


def test_credentials_stay_with_their_host(opened: Store) -> None:
    held = content(IMAGE)
    with serving(honest(held), "127.0.0.2") as elsewhere:

        def guarded(request: Request) -> Reply | None:
            if request.headers.get("Authorization") != USER.basic:
                return Reply(401, {"WWW-Authenticate": 'Basic realm="r"'})
            if "/blobs/" in request.path:
                return Reply(307, {"Location": f"{elsewhere.url}{request.path}"})
            return honest(held)(request)

        with serving(guarded) as server:
            known_at(server.address)
            pull(opened, reference.parse(f"{server.address}/app:1"))
        assert len(elsewhere.asked) == 3
        assert not any("Authorization" in each.headers for each in elsewhere.asked)


def test_another_port_is_another_host(opened: Store) -> None:
    held = content(IMAGE)
    with serving(honest(held)) as elsewhere:

        def guarded(request: Request) -> Reply | None:
            if request.headers.get("Authorization") != USER.basic:
                return Reply(401, {"WWW-Authenticate": 'Basic realm="r"'})
            return Reply(307, {"Location": f"{elsewhere.url}{request.path}"})

        with serving(guarded) as server:
            known_at(server.address)
            pull(opened, reference.parse(f"{server.address}/app:1"))
        assert not any("Authorization" in each.headers for each in elsewhere.asked)


@pytest.mark.parametrize(
    "realm", ["http://127.0.0.2:{port}/token", "http://localhost:{port}/token", "token", "ftp://x/"]
)
def test_an_authority_elsewhere_gets_nothing(opened: Store, realm: str) -> None:
    with serving(lambda request: Reply(200, {}, b'{"token": "t"}'), "127.0.0.2") as thief:
        where = realm.format(port=thief.address.partition(":")[2])

        def guarded(request: Request) -> Reply:
            return Reply(401, {"WWW-Authenticate": f'Bearer realm="{where}",service="s"'})

        with serving(guarded) as server:
            known_at(server.address)
            words = refused(opened, server)
            assert "refused" in words or "has no address" in words
        assert not thief.asked


def test_an_authority_that_leads_away(opened: Store) -> None:
    """What a redirect of the authority itself would give away is not given."""
    with serving(lambda request: Reply(200, {}, b'{"token": "t"}'), "127.0.0.2") as thief:

        def guarded(request: Request) -> Reply:
            if request.path.startswith("/token"):
                return Reply(302, {"Location": f"{thief.url}/token"})
            realm = f"http://{request.headers['Host']}/token"
            return Reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'})

        with serving(guarded) as server:
            known_at(server.address)
            assert "302" in refused(opened, server)
        assert not thief.asked


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Reply(200, {}, b"{}"), "gave no token"),
        (Reply(200, {}, b"very secret"), "gave no token"),
        (Reply(200, {}, b'{"token": "a\\r\\nX: y"}'), "gave no token"),
        (Reply(200, {}, b'{"token": "' + b"x" * (2 << 20) + b'"}'), "more than the 1048576 bytes"),
        (Reply(401, {}, b""), "unauthorized: authentication required"),
        (Reply(403, {}, b'{"errors":[{"code":"DENIED","message":"no"}]}'), "denied: no"),
    ],
)
def test_tokens_that_are_none(opened: Store, answer: Reply, words: str) -> None:
    def guarded(request: Request) -> Reply:
        if request.path.startswith("/token"):
            return answer
        realm = f"http://{request.headers['Host']}/token"
        return Reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'})

    with serving(guarded) as server:
        known_at(server.address)
        assert words in refused(opened, server)


def test_a_token_that_is_never_enough(opened: Store) -> None:
    def guarded(request: Request) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, {}, b'{"token": "t"}')
        realm = f"http://{request.headers['Host']}/token"
        return Reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'})

    with serving(guarded) as server:
        assert "unauthorized: authentication required" in refused(opened, server)
        assert len(server.asked) < 10


def test_a_token_that_does_not_allow_it(opened: Store) -> None:
    """As Docker Hub says it of what does not exist."""

    def guarded(request: Request) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, {}, b'{"token": "t"}')
        realm = f"http://{request.headers['Host']}/token"
        challenge = f'Bearer realm="{realm}",error="insufficient_scope"'
        return Reply(401, {"WWW-Authenticate": challenge}, b'{"errors":[{"code":"UNAUTHORIZED"}]}')

    with serving(guarded) as server:
        assert refused(opened, server) == (
            f"pull access denied for {server.address}/app, repository does not exist or may "
            "require 'docker login': denied: requested access to the resource is denied"
        )


def test_a_manifest_without_an_end(opened: Store) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * (1 << 20)

    def answer(request: Request) -> Reply | None:
        if "/manifests/" in request.path and request.method == "GET":
            return Reply(200, {"Content-Type": MANIFEST}, endless())
        return Reply(200) if request.path == "/v2/" else None

    with serving(answer) as server:
        assert "has more than the 4194304 bytes it may have" in refused(opened, server)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "is not valid JSON"),
        (b'{"x":' * 100_000, "is nested too deeply"),
        (b'{"schemaVersion": 1}', "has schema version 1"),
        (b'{"schemaVersion": 2}', "neither a manifest nor an index"),
        (
            b'{"schemaVersion": 2, "manifests" : [], "config": {}}',
            "is ambiguous: it has both manifests and layers",
        ),
        (
            b'{"schemaVersion": 2, "config": {"mediaType": "x", "digest": "../..", "size": 1}}',
            "invalid digest '../..'",
        ),
        (b'{"schemaVersion": 2, "manifests": []}', "no matching manifest for linux/"),
    ],
)
def test_manifests_that_are_none(opened: Store, document: bytes, words: str) -> None:
    with serving(honest(Content(document, {}))) as server:
        assert words in refused(opened, server)


def test_a_manifest_that_is_another(opened: Store) -> None:
    held = content(IMAGE)
    with serving(honest(held._replace(manifest=held.manifest + b" "))) as server:
        digest = sha256(held.manifest)

        def lying(request: Request) -> Reply | None:
            if digest in request.path:
                return Reply(200, {"Content-Type": MANIFEST}, held.manifest + b" ")
            return None

        with serving(before(lying, honest(held))) as server:
            words = refused(opened, server, f"app@{digest}")
            assert f"manifest verification failed for digest {digest}" in words


def spoilt(held: Content, digest: str, blob: bytes) -> Answer:
    return honest(held._replace(blobs={**held.blobs, digest: blob}))


def test_blobs_that_are_others(opened: Store) -> None:
    held = content(IMAGE)
    for digest in held.layers:
        blob = held.blobs[digest]
        for wrong in (blob[:-1] + bytes((blob[-1] ^ 1,)), bytes(len(blob))):
            with serving(spoilt(held, digest, wrong)) as server:
                words = refused(opened, server)
                assert digest in words
                assert "failed for digest" in words or "is damaged" in words
        with serving(spoilt(held, digest, blob + b"x")) as server:
            assert f"has {len(blob) + 1} bytes instead of {len(blob)}" in refused(opened, server)


def test_a_config_that_is_another(opened: Store) -> None:
    held = content(IMAGE)
    config = bytes(len(IMAGE.config))
    with serving(spoilt(held, IMAGE.id, config)) as server:
        assert f"blob verification failed for digest {IMAGE.id}" in refused(opened, server)


def test_a_layer_that_is_not_the_config_s(opened: Store) -> None:
    other = small("another")
    lying = content(made(*other.layers, rootfs={"type": "layers", "diff_ids": IMAGE.diff_ids}))
    with serving(honest(lying)) as server:
        assert "invalid diffID for layer" in refused(opened, server)


def test_layers_that_are_too_many_or_of_no_kind(opened: Store) -> None:
    held = content(IMAGE)
    document = json.loads(held.manifest)
    fewer = {**document, "layers": document["layers"][:1]}
    with serving(honest(with_manifest(fewer, held))) as server:
        assert "layers length mismatch: expected 2, got 1" in refused(opened, server)
    odd = {**document, "layers": [{**x, "mediaType": "text/plain"} for x in document["layers"]]}
    with serving(honest(with_manifest(odd, held))) as server:
        assert "has the unknown type text/plain" in refused(opened, server)
    huge = {**document, "layers": [{**x, "size": 1 << 60} for x in document["layers"]]}
    with serving(honest(with_manifest(huge, held))) as server:
        assert f"instead of {1 << 60}" in refused(opened, server)
    config = {**document, "config": {**document["config"], "size": 1 << 40}}
    with serving(honest(with_manifest(config, held))) as server:
        assert "is too large" in refused(opened, server)


def test_a_bomb(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = content(made(bytes(64 << 20)))
    monkeypatch.setattr("ferryman.archive.intake.free_space", lambda store: 32 << 20)
    with serving(honest(bomb)) as server:
        assert "unpacks to more than the" in refused(opened, server)


def test_an_index_in_an_index_for_ever(opened: Store) -> None:
    kind = "application/vnd.oci.image.index.v1+json"
    documents: dict[str, bytes] = {}
    inner = b'{"schemaVersion": 2, "manifests": []}'
    for _ in range(10):
        documents[sha256(inner)] = inner
        child = {"mediaType": kind, "digest": sha256(inner), "size": len(inner)}
        inner = json.dumps({"schemaVersion": 2, "manifests": [child]}).encode()

    def nested(request: Request) -> Reply | None:
        found = documents.get(request.path.rpartition("/")[2])
        return Reply(200, {"Content-Type": kind}, found) if found else None

    with serving(before(nested, honest(Content(inner, {})))) as server:
        assert "no matching manifest" in refused(opened, server)
        assert len(server.asked) < 20


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"", "manifest for {name}:1 not found: Get"),
        (
            404,
            b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}',
            "manifest for {name}:1 not found: manifest unknown: manifest unknown",
        ),
        (
            404,
            b'{"errors":[{"code":"NAME_UNKNOWN","message":"it is not"}]}',
            "repository {name} not found: name unknown: it is not",
        ),
        (
            403,
            b'{"errors":[{"code":"DENIED","message":"requested access is denied"}]}',
            "pull access denied for {name}, repository does not exist or may require "
            "'docker login': denied: requested access is denied",
        ),
        (418, b"<html>", "received unexpected HTTP status: 418"),
        (400, b'{"errors":[{"code":"X","message":"' + b"y" * 9999 + b'"}]}', "x: yyy"),
    ],
)
def test_words(opened: Store, status: int, body: bytes, words: str) -> None:
    def answer(request: Request) -> Reply:
        return Reply(200) if request.path == "/v2/" else Reply(status, {}, body)

    with serving(answer) as server:
        said = refused(opened, server)
        assert words.format(name=f"{server.address}/app") in said
        assert len(said) < 500


def test_something_that_is_no_http(opened: Store) -> None:
    with serving(lambda request: Reply(200)) as server:
        broken = Reply(200, {"X": "y" * 70_000})
        with serving(lambda request: broken) as server:
            assert "malformed HTTP response" in refused(opened, server)


SHORT = Limits(idle=0.6, head=1.0, attempts=2, pause=0.01)


def session(server: Server, limits: Limits = SHORT) -> Repository:
    return Repository(Session(Endpoint("http", server.address), limits=limits), "app")


def dripping(total: float = 60.0) -> Iterator[bytes]:
    end = time.monotonic() + total
    while time.monotonic() < end:
        time.sleep(0.05)
        yield b" "


def test_a_manifest_drop_by_drop() -> None:
    with serving(lambda request: Reply(200, {}, dripping(5))) as server:
        begin = time.monotonic()
        with pytest.raises(FerryError, match="net/http: timeout: "):
            manifests.get(session(server), "1")
        assert time.monotonic() - begin < 4


def test_a_blob_drop_by_drop() -> None:
    with serving(lambda request: Reply(200, {"Content-Length": "9999"}, dripping(5))) as server:
        begin = time.monotonic()
        digest = Digest(f"sha256:{'0' * 64}")
        with download.opened(session(server), digest, 9999) as blob:
            with pytest.raises(FerryError, match="slower than 1024 bytes a second"):
                blob.read(9999)
        assert time.monotonic() - begin < 8


def test_silence() -> None:
    def silent(request: Request) -> Reply:
        time.sleep(3)
        return Reply(200)

    with serving(silent) as server:
        begin = time.monotonic()
        with pytest.raises(FerryError, match=r"nothing came for 0\.6 seconds"):
            manifests.get(session(server, SHORT._replace(attempts=1, head=9)), "1")
        assert time.monotonic() - begin < 2


def test_secrets_are_in_no_word(opened: Store, store: Path) -> None:
    """Not even where the registry says them itself."""

    def echoing(request: Request) -> Reply:
        if "Authorization" not in request.headers:
            return Reply(401, {"WWW-Authenticate": "Basic realm=r"})
        pair = base64.b64decode(request.headers["Authorization"].partition(" ")[2]).decode()
        assert pair == "me:very secret"
        return Reply(401, {"WWW-Authenticate": "Basic realm=r"})

    with serving(echoing) as server:
        known_at(server.address)
        assert "unauthorized: authentication required" in refused(opened, server)
