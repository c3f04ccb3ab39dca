"""Registries that ask who one is, by TLS, passwords and tokens; and who docker says one is."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.images import docker_archive, packed, small
from tests.peers.conftest import need
from tests.peers.registry import (
    PASSWORD,
    USER,
    Authority,
    Registry,
    authority,
    by_passwords,
    make_authority,
    make_certificate,
    running,
)

pytestmark = pytest.mark.peer


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's ``config.json``, with nothing in it; docker, podman and skopeo read it, too."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("FERRY_REGISTRIES", str(tmp_path / "registries.toml"))
    return folder / "config.json"


@pytest.fixture(scope="session")
def guarded(private: Path) -> Iterator[Registry]:
    """A registry that asks for a password, over TLS."""
    need("docker-registry", "setpriv", "openssl")
    folder = private / "passwords"
    folder.mkdir()
    with running(folder / "registry", auth=by_passwords(folder), tls=True) as found:
        yield found


@pytest.fixture(scope="session")
def tokens(private: Path) -> Iterator[tuple[Registry, Authority]]:
    """A registry that asks for tokens, and who gives them."""
    need("docker-registry", "setpriv", "openssl")
    with authority(private / "tokens") as server:
        with running(private / "tokens/registry", auth=server.auth) as found:
            yield found, server


def trusted(registry: Registry, tmp_path: Path) -> Path:
    """Have the registry's authority believed, by ``certs.d``."""
    folder = tmp_path / "config/docker/certs.d" / registry.address
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes((registry.folder / "ca.crt").read_bytes())
    return folder


def login(command: Command, registry: Registry, password: str = PASSWORD) -> tuple[int, str, str]:
    done = command.run(
        *("login", "-u", USER, "--password-stdin", registry.address),
        input=password.encode(),
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def load(ferry: Ferry, name: str) -> None:
    ferry("load", input=packed(docker_archive(small("guarded", name))))


def failed(ferry: Ferry, *arguments: str) -> str:
    done = ferry(*arguments, check=False)
    assert done.returncode == 1
    words = done.stderr.decode()
    assert words.count("\n") == 1
    assert PASSWORD not in words
    return words.strip()


def test_tls_of_an_authority_that_is_named(ferry: Ferry, guarded: Registry, tmp_path: Path) -> None:
    folder = trusted(guarded, tmp_path)
    name = f"{guarded.address}/tls:1"
    assert login(ferry.at(None), guarded)[0] == 0
    load(ferry, name)
    ferry("push", name)
    assert "Image is up to date" in ferry.text("pull", name)
    # An authority that is not the one: no byte of a password goes to such a registry.
    make_authority(tmp_path)
    (folder / "ca.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    words = failed(ferry, "pull", name)
    assert f'Error: Get "https://{guarded.address}/v2/": tls: failed to verify certificate' in words


def test_a_certificate_of_the_user_s(private: Path, ferry: Ferry, tmp_path: Path) -> None:
    need("docker-registry", "setpriv", "openssl")
    with running(tmp_path / "registry", tls=True) as found:
        config = json.loads((found.folder / "config.yml").read_text())
        config["http"]["tls"]["clientcas"] = [str(found.folder / "ca.crt")]
        asking = tmp_path / "asking"
        asking.mkdir()
        trusted_folder = trusted(found, tmp_path)
        make_certificate(found.folder, "me")
        for name, to in (("me.crt", "me.cert"), ("me.key", "me.key")):
            (trusted_folder / to).write_bytes((found.folder / name).read_bytes())
        ferry("login", "-u", USER, "--password-stdin", found.address, input=b"any")


@pytest.mark.parametrize("engine", ["docker", "podman", "skopeo"])
def test_one_file_for_all(
    ferry: Ferry,
    guarded: Registry,
    dockerd: Command,
    podman: Command,
    skopeo: Command,
    config: Path,
    tmp_path: Path,
    engine: str,
) -> None:
    """Who logs in with one is known to the other."""
    name = f"{guarded.address}/one-file/{engine}:1"
    load(ferry, name)
    docker = Command(dockerd.argv, {**dockerd.env, "DOCKER_CONFIG": str(config.parent)})
    denied = f'Error: Head "https://{guarded.address}/v2/one-file/{engine}/'
    assert failed(ferry, "push", name).startswith(denied.partition("Head")[0])
    if engine == "docker":
        assert login(docker, guarded)[0] == 0
        ferry("push", name)
        ferry("logout", guarded.address)
        assert docker.run("pull", name, check=False).returncode == 1
        assert login(ferry.at(None), guarded)[0] == 0
        docker.run("pull", name)
        return
    assert login(ferry.at(None), guarded)[0] == 0
    ferry("push", name)
    if engine == "podman":
        podman.run("pull", "--quiet", "--tls-verify=false", name)
    else:
        skopeo.run("inspect", "--tls-verify=false", f"docker://{name}")


def test_words_of_login_are_docker_s(
    ferry: Ferry, guarded: Registry, dockerd: Command, config: Path, new_client: bool
) -> None:
    docker = Command(dockerd.argv, {**dockerd.env, "DOCKER_CONFIG": str(config.parent)})
    assert login(ferry.at(None), guarded, "wrong")[0] == 1
    assert config.read_text() == "{}"
    code, out, errors = login(ferry.at(None), guarded)
    assert (code, out) == (0, "Login Succeeded\n")
    content, mode = config.read_bytes(), config.stat().st_mode
    assert mode & 0o777 == 0o600
    if new_client:
        docker.run("logout", guarded.address)
        said = login(docker, guarded)
        assert (said[0], said[1]) == (code, out)
        assert errors in said[2]
        assert config.read_bytes() == content
    again = ferry.text("login", guarded.address).splitlines()
    assert again == ["Authenticating with existing credentials...", "Login Succeeded"]
    said_out = ferry.text("logout", guarded.address)
    assert said_out == f"Removing login credentials for {guarded.address}"
    after = config.read_bytes()
    if new_client:
        assert login(docker, guarded)[0] == 0
        assert docker.text("logout", guarded.address) == said_out
        assert config.read_bytes() == after


def test_wrong_passwords(ferry: Ferry, guarded: Registry, tmp_path: Path) -> None:
    code, out, errors = login(ferry.at(None), guarded, "wrong")
    assert (code, out) == (1, "")
    assert errors.startswith("Error: ")
    assert "unauthorized: authentication required" in errors
    assert "wrong" not in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--password-stdin", "x"], "the --password-stdin option requires --username to be set"),
        (
            ["-u", "x", "-p", "y", "--password-stdin"],
            "conflicting options: cannot specify both --password and --password-stdin",
        ),
        (["127.0.0.1:1"], "Cannot perform an interactive login from a non TTY device"),
    ],
)
def test_what_login_cannot_do(ferry: Ferry, arguments: list[str], words: str) -> None:
    assert failed(ferry, "login", *arguments) == f"Error: {words}"


def test_tokens(
    ferry: Ferry, tokens: tuple[Registry, Authority], dockerd: Command, config: Path, tmp_path: Path
) -> None:
    registry, server = tokens
    name = f"{registry.address}/tokens/app:1"
    load(ferry, name)
    # Who is nobody gets a token, if not for pushing.
    assert "denied" in failed(ferry, "push", name) or "unauthorized" in failed(ferry, "push", name)
    assert login(ferry.at(None), registry, "wrong")[0] == 1
    assert login(ferry.at(None), registry)[0] == 0
    server.scopes.clear()
    ferry("push", name)
    assert set(server.scopes) == {"repository:tokens/app:pull,push"}
    # One token serves for all.
    assert len(server.scopes) == 1
    # To take a blob over, one has to be allowed to have it there.
    ferry("tag", name, f"{registry.address}/tokens/other:1")
    said = ferry.text("push", f"{registry.address}/tokens/other:1")
    assert said.count("Mounted from tokens/app") == 2
    assert "repository:tokens/app:pull" in server.scopes
    docker = Command(dockerd.argv, {**dockerd.env, "DOCKER_CONFIG": str(config.parent)})
    docker.run("pull", name)
    ferry("logout", registry.address)
    other = Ferry(tmp_path / "other")
    server.users.clear()
    other("pull", name)
    assert set(server.users) == {""}


def test_no_secret_on_a_command_line_or_in_a_file(
    ferry: Ferry, guarded: Registry, config: Path, tmp_path: Path
) -> None:
    """With a helper, the password is seen by nobody but the helper."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker-credential-box"
    program.write_text(
        '#!/bin/sh\nexec 2>/dev/null\necho "$@" >> $0.arguments\n'
        "case $1 in store) cat > $0.kept;; get) cat > /dev/null; cat $0.kept ||\n"
        "{ echo credentials not found in native keychain; exit 1; };; erase) rm $0.kept;; esac\n"
    )
    program.chmod(0o755)
    config.write_text('{"credsStore": "box"}')
    path = subprocess.run(["sh", "-c", "echo $PATH"], stdout=subprocess.PIPE, check=True).stdout
    ours = ferry.at(None)
    boxed = Command(ours.argv, {"PATH": f"{folder}:{path.decode().strip()}"})
    code, out, errors = login(boxed, guarded)
    assert (code, out, errors) == (0, "Login Succeeded\n", "")
    assert PASSWORD not in config.read_text()
    assert PASSWORD in (folder / "docker-credential-box.kept").read_text()
    name = f"{guarded.address}/boxed:1"
    load(ferry, name)
    boxed.run("push", name)
    boxed.run("logout", guarded.address)
    assert boxed.run("push", name, check=False).returncode == 1
    assert PASSWORD not in (folder / "docker-credential-box.arguments").read_text()
