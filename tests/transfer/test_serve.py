"""What the registry of a move answers to whoever pulls from it."""

import http.client
import os
from pathlib import Path

from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.transfer.line import Pace
from ferryman.transfer.pressed import Pressed
from ferryman.transfer.serve import Content, serving

BLOB = bytes(range(256)) * 100


def test_blobs_that_are_elsewhere(tmp_path: Path) -> None:
    """Whole ones are asked for there; a part of one that is packed there is not to be had."""
    (tmp_path / "blob").write_bytes(BLOB)
    digest = digests.of(BLOB)

    def elsewhere(wanted: Digest, takes_gzip: bool) -> str | None:
        return f"http://elsewhere/{wanted}" if takes_gzip else None

    def pressed(wanted: Digest, size: int) -> Pressed:
        raise AssertionError

    target = Descriptor(media_type="x", digest=str(digest), size=1)
    content = Content(
        target,
        {},
        {digest: len(BLOB)},
        lambda wanted: os.open(tmp_path / "blob", os.O_RDONLY),
        pressed,
        frozenset((digest,)),
        elsewhere,
    )
    with serving(content, Pace(None), lambda n: None) as served:
        path = f"/v2/{served.name}/blobs/{digest}"

        def asked(method: str, **headers: str) -> tuple[int, str | None, bytes]:
            client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
            client.request(
                method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
            answer = client.getresponse()
            return answer.status, answer.headers["Location"], answer.read()

        packed = {"Accept_Encoding": "gzip"}
        assert asked("GET", **packed) == (307, f"http://elsewhere/{digest}", b"")
        assert asked("HEAD", **packed) == (200, None, b"")
        assert asked("GET", Range="bytes=100-", **packed) == (206, None, BLOB[100:])
        assert asked("GET", Accept_Encoding="identity") == (200, None, BLOB)
