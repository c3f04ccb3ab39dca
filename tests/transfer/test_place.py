"""What the names of hosts stand for."""

import hashlib
import json
from pathlib import Path

import pytest

from ferryman.errors import UsageError
from ferryman.transfer.place import Place, parse


@pytest.mark.parametrize(
    ("text", "destination", "port"),
    [
        ("ssh://host", "host", None),
        ("ssh://ann@host:2222", "ann@host", 2222),
        ("ssh://host:22/", "host", 22),
        ("ssh://[fe80::1]:22", "fe80::1", 22),
        ("host", "host", None),
        ("ann@host.example", "ann@host.example", None),
    ],
)
def test_hosts(text: str, destination: str, port: int | None) -> None:
    assert parse(text) == Place(text, destination, port)


@pytest.mark.parametrize(
    "text",
    [
        "-oProxyCommand=x", "ssh://-oProxyCommand=x", "ssh://a@-x", "ann@-host", "tcp://host", "",
        "a b", "ssh://", "ssh://host:x", "a@b@c", "host:22", "context:none",
    ],
)  # fmt: skip
def test_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_daemons() -> None:
    assert parse("docker-daemon:") == Place("docker-daemon:")
    assert parse("docker-daemon:unix:///x").docker_host == "unix:///x"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("unix:///run/x", Place("context:c", docker_host="unix:///run/x")),
        ("ssh://ann@h:2", Place("context:c", "ann@h", 2)),
    ],
)
def test_contexts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, expected: Place
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    folder = tmp_path / "contexts/meta" / hashlib.sha256(b"c").hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": "c", "Endpoints": {"docker": {"Host": host}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    assert parse("context:c") == expected
    (folder / "meta.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        parse("context:c")
