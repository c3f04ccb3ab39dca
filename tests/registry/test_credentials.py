"""``config.json``: what docker has written is read, what ferry writes docker reads."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.registry import credentials
from ferryman.registry.credentials import HUB_KEY, CredentialError, Credentials

ME = Credentials("me", "pass:word")

HELPER = """#!/bin/sh
cat > "$0.$1"
case $1 in
get) if [ -e "$0.store" ]; then cat "$0.store"; else
     echo "credentials not found in native keychain"; exit 1; fi ;;
erase) rm -f "$0.store" ;;
esac
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker/config.json"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker-credential-made-up"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return program


def written(config: Path, **content: Any) -> None:
    config.parent.mkdir(exist_ok=True)
    config.write_text(json.dumps(content))


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_nothing_is_known_without_a_file(config: Path) -> None:
    assert credentials.of("a.example") is None
    assert not credentials.forget("a.example")
    assert not config.exists()


def test_what_is_kept_is_found_and_forgotten(config: Path) -> None:
    assert credentials.keep("a.example:5000", ME)
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert json.loads(config.read_text()) == {"auths": {"a.example:5000": auth("me:pass:word")}}
    assert credentials.of("a.example:5000") == ME
    assert credentials.of("a.example") is None
    assert credentials.forget("a.example:5000")
    assert json.loads(config.read_text()) == {"auths": {}}
    assert not list(config.parent.glob("config.json?*"))


def test_what_others_have_written_stays(config: Path) -> None:
    written(config, HttpHeaders={"X": "y"}, auths={"b": auth("x:y")}, proxies={"default": {}})
    config.chmod(0o644)
    credentials.keep("a", ME)
    said = json.loads(config.read_text())
    assert said["HttpHeaders"] == {"X": "y"}
    assert said["proxies"] == {"default": {}}
    assert said["auths"] == {"b": auth("x:y"), "a": auth("me:pass:word")}
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_a_link_to_the_file_stays_one(config: Path, tmp_path: Path) -> None:
    written(config)
    config.rename(tmp_path / "elsewhere.json")
    config.symlink_to(tmp_path / "elsewhere.json")
    credentials.keep("a", ME)
    assert config.is_symlink()
    assert "auths" in (tmp_path / "elsewhere.json").read_text()


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_has_a_name_of_its_own(config: Path, host: str) -> None:
    written(config, auths={HUB_KEY: auth("me:pass:word")})
    assert credentials.of(host) == ME


def test_old_files_name_urls(config: Path) -> None:
    written(config, auths={"https://a.example/v1/": auth("me:pass:word")})
    assert credentials.of("a.example") == ME
    assert credentials.forget("a.example")
    assert credentials.of("a.example") is None


def test_an_identity_token(config: Path) -> None:
    token = Credentials("me", "", "secret token")
    credentials.keep("a", token)
    assert json.loads(config.read_text())["auths"]["a"]["identitytoken"] == "secret token"
    assert credentials.of("a") == token


@pytest.mark.parametrize("setting", ["credsStore", "credHelpers"])
def test_a_helper(config: Path, helper: Path, setting: str) -> None:
    written(config, **{setting: "made-up" if setting == "credsStore" else {"a": "made-up"}})
    assert credentials.of("a") is None
    assert not credentials.keep("a", ME)
    assert "word" not in config.read_text()
    assert credentials.of("a") == ME
    assert Path(f"{helper}.get").read_bytes() == b"a"
    assert json.loads(Path(f"{helper}.store").read_text())["ServerURL"] == "a"
    assert credentials.forget("a")
    assert credentials.of("a") is None


def test_a_helper_keeps_a_token(config: Path, helper: Path) -> None:
    written(config, credsStore="made-up")
    credentials.keep("a", Credentials("me", "", "secret token"))
    assert json.loads(Path(f"{helper}.store").read_text())["Username"] == "<token>"
    assert credentials.of("a") == Credentials("", "", "secret token")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not valid JSON"),
        (b"[]", "is invalid"),
        (b'{"auths": {"a": {"auth": "?secret?"}}}', "the auth of a is no base64 of user:password"),
        (b'{"credsStore": "nothere"}', "docker-credential-nothere: No such file or directory"),
        (b'{"credsStore": "../x"}', "invalid credential helper: docker-credential-../x"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(config: Path, content: bytes, words: str) -> None:
    config.parent.mkdir()
    config.write_bytes(content)
    with pytest.raises(CredentialError) as raised:
        credentials.of("a")
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_helper_that_fails(config: Path, helper: Path) -> None:
    helper.write_text("#!/bin/sh\necho my secret; echo broken >&2; exit 3\n")
    written(config, credsStore="made-up")
    with pytest.raises(CredentialError) as raised:
        credentials.of("a")
    assert str(raised.value) == "docker-credential-made-up get failed with status 3: broken"


def test_secrets_do_not_show() -> None:
    assert "word" not in repr(ME)


@given(
    user=st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), min_size=1),
    password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)
def test_any_user_and_password(
    tmp_path_factory: pytest.TempPathFactory, user: str, password: str
) -> None:
    path = str(tmp_path_factory.getbasetemp() / f"any-{os.getpid()}/config.json")
    credentials.keep("a", Credentials(user, password), credentials.load(path))
    assert credentials.of("a", credentials.load(path)) == Credentials(user, password)
