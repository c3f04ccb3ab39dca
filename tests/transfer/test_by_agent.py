"""What an agent may ask for, which may be no agent of ours."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from ferryman.archive.write import Saved
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.image.manifest import OCI_MANIFEST, Descriptor
from ferryman.transfer import by_agent
from ferryman.transfer.channel import Channel, HostError
from ferryman.transfer.inventory import Inventory
from ferryman.transfer.line import Pace
from ferryman.transfer.place import Place
from ferryman.transfer.plan import Plan, Wanted
from ferryman.transfer.pressed import File, Pressed
from ferryman.transfer.probe import Engine
from ferryman.transfer.serve import Content

BLOB = b"a blob" * 1000
DIGEST = digests.of(BLOB)
LOOKED = {"whole": [], "begun": {}, "compressions": [], "codecs": ["zstd", "gzip"]}


@pytest.fixture
def pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Pull into a host whose Python says what it is told to, whatever it hears."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "blob").write_bytes(BLOB)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")

    def pressed(codec: str, digest: Digest, size: int, start: int) -> Pressed:
        return Pressed(lambda: File(os.open(tmp_path / "blob", 0)), size, codec, start)

    def run(*answers: dict[str, Any]) -> int:
        said = "\n".join(map(json.dumps, (LOOKED, *answers)))
        python = tmp_path / "bin/python3"
        python.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexec cat > {tmp_path}/heard\n")
        python.chmod(0o755)
        engine = Engine("podman", sudo=False, version="4")
        image = Wanted(DIGEST, ("docker.io/library/a:1",), (), (), 0, frozenset())
        plan = Plan(image, "podman", "pull", ())
        job = by_agent.Job(
            engine, Inventory("docker"), plan, cast(Saved, None), pressed, differences=None
        )
        content = Content(
            Descriptor(OCI_MANIFEST, digests.of(b"{}"), 2),
            {digests.of(b"{}"): (OCI_MANIFEST, b"{}")},
            {DIGEST: len(BLOB)},
            lambda digest: 0,
            lambda digest, size: pressed("gzip", digest, size, 0),
            frozenset([DIGEST]),
        )
        channel = Channel(Place("here"))
        return by_agent.pull(channel, job, content, Pace(None), lambda n: None, lambda: None)

    return run


WANT = {"want": DIGEST.encoded}


def test_what_is_asked_for_is_sent(pull: Callable[..., int], tmp_path: Path) -> None:
    assert pull(WANT, {"code": 0, "said": ""}, {}) > 0
    assert b'"codec": "zstd"' in (tmp_path / "heard").read_bytes()


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([{"want": "0" * 64}], "it asks for what is not to be had"),
        ([{"want": "../../etc/passwd"}], "it asks for what is not to be had"),
        ([{"want": {"a": 1}}], "it asks for what is not to be had"),
        # Else it could have us send without end.
        ([WANT, WANT], "it asks for what is not to be had"),
        ([{"code": 1, "said": "no\nroom\x1b[2J"}], "podman pull: room[2J"),
        ([{"code": "0"}], "podman pull: it failed"),
        ([{"failed": "the line broke"}], "the line broke"),
        ([], "the connection broke"),
    ],
)
def test_a_hostile_host(
    pull: Callable[..., int], answers: list[dict[str, Any]], error: str
) -> None:
    with pytest.raises(HostError) as caught:
        pull(*answers)
    assert str(caught.value) == f"here: {error}"
