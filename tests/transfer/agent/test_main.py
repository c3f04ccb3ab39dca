"""The agent, run by a Python of its own as a host would run it, but without ssh."""

import hashlib
import io
import os
import struct
import sys
import tarfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from ferryman.image import digest as digests
from ferryman.transfer import agent_client
from ferryman.transfer.agent_client import Agent
from ferryman.transfer.channel import Channel, HostError
from ferryman.transfer.delta import encode
from ferryman.transfer.line import Pace
from ferryman.transfer.place import Place
from ferryman.transfer.pressed import FRAME, File, Pressed, frame

CONTENT = os.urandom(FRAME + 1000) + bytes(FRAME)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Agent]:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "blob").write_bytes(CONTENT)
    return lambda: Agent(Channel(Place("here")), Pace(None), lambda n: None)


def blob(tmp_path: Path, codec: str = "gzip", at: int = 0) -> Pressed:
    path = tmp_path / "blob"
    return Pressed(lambda: File(os.open(path, os.O_RDONLY)), len(CONTENT), codec, at)


def put(agent: Agent, part: Pressed, digest: str = DIGEST) -> dict[str, Any]:
    said = {"digest": digest, "size": len(CONTENT), "at": part.start, "codec": part.codec}
    agent.say({"ask": "put", **said})
    agent.send(part)
    return agent.answer()


def kept(tmp_path: Path) -> list[str]:
    return sorted(os.listdir(tmp_path / "cache/ferry-agent"))


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_parts_are_kept_until_they_are_forgotten(
    start: Callable[[], Agent], tmp_path: Path, codec: str
) -> None:
    with start() as agent:
        assert put(agent, blob(tmp_path, codec)) == {}
    assert kept(tmp_path) == [DIGEST]
    with start() as agent:
        looked = agent.ask({"ask": "look", "digests": [DIGEST, "0" * 64]})
        assert (looked["whole"], looked["begun"]) == ([DIGEST], {})
        assert "xz" in looked["compressions"]
        assert looked["codecs"] == ["zstd", "gzip"]
        agent.ask({"ask": "done", "digests": [DIGEST]})
    assert not (tmp_path / "cache/ferry-agent").exists()


def test_what_has_begun_goes_on(start: Callable[[], Agent], tmp_path: Path) -> None:
    with start() as agent:
        said = {"digest": DIGEST, "size": len(CONTENT), "at": 0, "codec": "none"}
        agent.say({"ask": "put", **said})
        agent.line.write(struct.pack(">I", len(CONTENT)) + CONTENT[: FRAME + 7])
    assert kept(tmp_path) == [f"{DIGEST}.part"]
    with start() as agent:
        looked = agent.ask({"ask": "look", "digests": [DIGEST]})
        assert looked["begun"][DIGEST] >= FRAME
        put(agent, blob(tmp_path, at=FRAME))
    assert (tmp_path / "cache/ferry-agent" / DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_what_is_not_what_was_sent(start: Callable[[], Agent], tmp_path: Path, codec: str) -> None:
    with start() as agent, pytest.raises(HostError, match="here: what arrived is not what was"):
        put(agent, blob(tmp_path, codec), "0" * 64)
    assert not (tmp_path / "cache/ferry-agent").exists()


def test_damage(start: Callable[[], Agent], tmp_path: Path) -> None:
    said = {"digest": DIGEST, "size": len(CONTENT), "at": 0, "codec": "gzip"}
    for codec in ("gzip", "zstd"):
        with start() as agent:
            agent.say({"ask": "put", **said, "codec": codec})
            agent.line.write(struct.pack(">I", 9) + b"no gzip!!")
            with pytest.raises(HostError, match="here: what arrives is damaged"):
                agent.answer()
    for asked in ({"ask": "put", **said, "digest": "../../x"}, {"ask": "undo", "delta": "x"}):
        with start() as agent, pytest.raises(HostError):
            agent.ask(asked)


def archive(tmp_path: Path, *layers: bytes) -> Path:
    """What an engine's save writes."""
    path = tmp_path / "saved.tar"
    with tarfile.open(path, "w") as tar:
        for i, content in enumerate(layers):
            member = tarfile.TarInfo(f"{i}/layer.tar")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_difference(start: Callable[[], Agent], tmp_path: Path) -> None:
    old, new = CONTENT[:-50] + b"x" * 50, CONTENT
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "new").write_bytes(new)
    base, result = digests.of(old), digests.of(new)
    delta = io.BytesIO()
    with (tmp_path / "old").open("rb") as one, (tmp_path / "new").open("rb") as two:
        layers = [encode.Layer(base, one.fileno(), "old")]
        encode.encode(layers, encode.Layer(result, two.fileno(), "new"), delta, "xz")
    sent = delta.getvalue()
    name = hashlib.sha256(sent).hexdigest()
    command = ["cat", str(archive(tmp_path, b"other", old))]
    with start() as agent:
        wanted = [str(base), f"sha256:{'0' * 64}"]
        asked = {"ask": "base", "command": command, "each": None, "layers": wanted}
        assert agent.ask(asked) == {"found": [str(base)]}
        agent.say({"ask": "put", "digest": name, "size": len(sent), "at": 0, "codec": "none"})
        agent.line.write(struct.pack(">I", len(sent)) + sent + struct.pack(">I", 0))
        agent.answer()
        agent.ask({"ask": "undo", "delta": name, "digest": result.encoded})
        assert sorted(n for n in kept(tmp_path) if len(n) == 64) == sorted((name, result.encoded))
    assert (tmp_path / "cache/ferry-agent" / result.encoded).read_bytes() == new
    assert kept(tmp_path) == sorted((name, result.encoded))
    # Without its base it cannot be undone, and leaves nothing.
    os.unlink(tmp_path / "cache/ferry-agent" / result.encoded)
    with start() as agent, pytest.raises(HostError, match="a delta cannot be undone"):
        agent.ask({"ask": "undo", "delta": name, "digest": result.encoded})
    assert kept(tmp_path) == [name]


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_bases_that_an_engine_keeps_compressed(
    start: Callable[[], Agent], tmp_path: Path, codec: str
) -> None:
    """They are known by their tars, in an archive or given out one by one."""
    old, other = b"an old layer" * 1000, b"other"
    pressed = frame(old, codec)
    (tmp_path / "get").write_text(f"#!/bin/sh\n[ $1 != {digests.of(old)} ] || cat {tmp_path}/one\n")
    (tmp_path / "get").chmod(0o755)
    (tmp_path / "one").write_bytes(pressed)
    wanted = sorted(map(str, (digests.of(old), digests.of(other))))
    for command, each in (
        (["cat", str(archive(tmp_path, other[1:], pressed, b"\x1f\x8b\x08 damaged"))], None),
        (None, [str(tmp_path / "get")]),
    ):
        with start() as agent:
            asked = {"ask": "base", "command": command, "each": each, "layers": wanted}
            assert agent.ask(asked) == {"found": [str(digests.of(old))]}


def test_loading(start: Callable[[], Agent], tmp_path: Path) -> None:
    with start() as agent:
        said = {"digest": DIGEST, "size": len(CONTENT), "at": 0, "codec": "gzip"}
        parts = [{"bytes": "YmVmb3Jl"}, said, {"bytes": "YmVoaW5k"}]
        script = f"cat > {tmp_path}/loaded; echo told >&2; exit 3"
        agent.say({"ask": "load", "script": script, "last": True, "parts": parts})
        agent.send(blob(tmp_path))
        assert agent.answer() == {"code": 3, "said": "told\n"}
    assert (tmp_path / "loaded").read_bytes() == b"before" + CONTENT + b"behind"
    assert kept(tmp_path) == [DIGEST]


def test_loading_in_stages(start: Callable[[], Agent], tmp_path: Path) -> None:
    """The second one arrives while the first one is loaded, and is loaded after it."""
    digest = {"digest": DIGEST, "size": len(CONTENT)}
    said = {**digest, "at": 0, "codec": "gzip"}
    asked = {"ask": "load", "last": False, "parts": [said]}
    wait = f"cat > {tmp_path}/one; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done"
    with start() as agent:
        agent.say({**asked, "script": f"{wait}; echo one >> {tmp_path}/order"})
        agent.send(blob(tmp_path))
        assert agent.answer() == {"code": 0, "said": ""}
        script = f"cat > {tmp_path}/two; echo two >> {tmp_path}/order"
        agent.say({"ask": "load", "last": True, "parts": [digest], "script": script})
        (tmp_path / "go").touch()
        assert agent.answer()["code"] == 0
        assert (tmp_path / "order").read_text() == "one\ntwo\n"
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == CONTENT
        # What stands on one that fails is not loaded.
        agent.say({**asked, "parts": [digest], "script": "cat > /dev/null; echo no >&2; exit 4"})
        agent.answer()
        script = f"cat > /dev/null && touch {tmp_path}/loaded"
        agent.say({"ask": "load", "last": True, "parts": [digest], "script": script})
        assert agent.answer() == {"code": 4, "said": "no\n"}
    assert not (tmp_path / "loaded").exists()


def test_an_engine_that_ends_at_once(start: Callable[[], Agent], tmp_path: Path) -> None:
    """What arrives is kept all the same."""
    with start() as agent:
        said = {"digest": DIGEST, "size": len(CONTENT), "at": 0, "codec": "none"}
        agent.say({"ask": "load", "script": "false", "last": True, "parts": [said]})
        agent.send(blob(tmp_path, "none"))
        assert agent.answer()["code"] == 1
    assert kept(tmp_path) == [DIGEST]


def test_a_python_that_does_not_answer(start: Callable[[], Agent], tmp_path: Path) -> None:
    for script in ("exit 1", "echo no", "yes", "head -c 100000000 /dev/zero"):
        path = tmp_path / "bin/python3"
        path.unlink()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        with pytest.raises(HostError, match=r"^here: "), start() as agent:
            agent.ask({"ask": "look", "digests": []})


@pytest.mark.parametrize(("package", "name"), agent_client.MODULES)
def test_older_pythons_can_read_it(package: str, name: str) -> None:
    """Of the grammar that vermin and the like know: what ast takes for 3.7 is what there is."""
    import ast

    text = resources.files(package).joinpath(name).read_text()
    tree = ast.parse(text, feature_version=(3, 6))
    sent = {f"{p}.{n.removesuffix('.py')}" for p, n in agent_client.MODULES}
    for each in ast.walk(tree):
        if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("ferryman"):
            names = {f"{each.module}.{alias.name}" for alias in each.names}
            assert each.module in sent or names <= sent
        elif isinstance(each, ast.Import):
            assert not any(alias.name.startswith("ferryman") for alias in each.names)
