"""The registry that the agent is for the engine beside it."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ferryman.image import digest as digests
from ferryman.transfer.agent.arrivals import Arrivals, handler
from ferryman.transfer.agent.registry import Image, serving

NAME = "ferry/0123456789abcdef"
MANIFEST = b'{"schemaVersion":2}'
TYPE = "application/vnd.oci.image.manifest.v1+json"
TARGET = digests.of(MANIFEST)
BLOB = bytes(range(256)) * 10_000
DIGEST = digests.of(BLOB)


@contextmanager
def served(folder: Path) -> Iterator[tuple[Arrivals, http.client.HTTPConnection]]:
    arrivals = Arrivals({DIGEST.encoded: len(BLOB)}, lambda encoded: str(folder / encoded))
    image = Image(NAME, TARGET, {TARGET: (TYPE, MANIFEST)})
    with serving(handler(image, arrivals)) as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        yield arrivals, client
        client.close()


def test_documents(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client):
        for what in ("1", str(TARGET)):
            for method in ("GET", "HEAD"):
                client.request(method, f"/v2/{NAME}/manifests/{what}")
                answer = client.getresponse()
                assert answer.read() == (MANIFEST if method == "GET" else b"")
                assert answer.headers["Docker-Content-Digest"] == TARGET
                assert answer.headers["Content-Type"] == TYPE
                assert answer.headers["Content-Length"] == str(len(MANIFEST))
        client.request("GET", "/v2/")
        assert client.getresponse().read() == b"{}"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/ferry/other/manifests/1",
        f"/v2/{NAME}/manifests/2",
        f"/v2/{NAME}/blobs/sha256:{'0' * 64}",
        f"/v2/{NAME}/blobs/{DIGEST.encoded}",
        f"/v2/{NAME}/blobs/../../etc/passwd",
        "/",
    ],
)
def test_what_is_not_served(tmp_path: Path, path: str) -> None:
    with served(tmp_path) as (_, client):
        client.request("GET", path)
        answer = client.getresponse()
        assert answer.status == 404
        assert b"not served here" in answer.read()


def test_a_blob_that_is_here(tmp_path: Path) -> None:
    (tmp_path / DIGEST.encoded).write_bytes(BLOB)
    path = f"/v2/{NAME}/blobs/{DIGEST}"
    with served(tmp_path) as (_, client):
        client.request("HEAD", path)
        answer = client.getresponse()
        assert answer.headers["Content-Length"] == str(len(BLOB))
        answer.read()
        client.request("GET", path)
        assert client.getresponse().read() == BLOB
        for wanted, (begin, end) in {
            "bytes=100-": (100, len(BLOB)),
            "bytes=100-199": (100, 200),
            f"bytes=100-{len(BLOB) * 2}": (100, len(BLOB)),
        }.items():
            client.request("GET", path, headers={"Range": wanted})
            answer = client.getresponse()
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(BLOB)}"
            assert answer.read() == BLOB[begin:end]


def test_a_blob_goes_out_while_it_arrives(tmp_path: Path) -> None:
    """It is asked for once, however many clients want it."""
    part = tmp_path / f"{DIGEST.encoded}.part"
    with served(tmp_path) as (arrivals, client):
        others = [http.client.HTTPConnection("127.0.0.1", client.port) for _ in range(2)]
        for each in (client, *others):
            each.request("GET", f"/v2/{NAME}/blobs/{DIGEST}")
        assert arrivals.next() == DIGEST.encoded
        half = len(BLOB) // 2
        part.write_bytes(BLOB[:half])
        arrivals.arrived(DIGEST.encoded, half)
        answers = [each.getresponse() for each in (client, *others)]
        assert [each.read(half) for each in answers] == [BLOB[:half]] * 3
        with part.open("ab") as file:
            file.write(BLOB[half:])
        arrivals.arrived(DIGEST.encoded, len(BLOB))
        part.rename(tmp_path / DIGEST.encoded)
        assert [each.read() for each in answers] == [BLOB[half:]] * 3
        arrivals.end()
        assert arrivals.next() is None


def test_what_does_not_come(tmp_path: Path) -> None:
    """The client sees its connection end, and not a blob that is cut."""
    with served(tmp_path) as (arrivals, client):
        client.request("GET", f"/v2/{NAME}/blobs/{DIGEST}")
        answer = client.getresponse()
        assert arrivals.next() == DIGEST.encoded
        threading.Timer(0.1, arrivals.end).start()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
