"""What `run`, `create` and `build` pull, and when."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ferry import Ferry
from tests.peers.conftest import need
from tests.peers.registry import Registry, running

pytestmark = pytest.mark.peer

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    need("docker-registry", "setpriv")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker-config"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with running(tmp_path / "registry") as found:
        yield found


def pushed(box: Ferry, name: str, *changes: str) -> str:
    """Push an image, have it no more, and return its ID."""
    container = box.text("create", "box:1")
    image = box.text("commit", *(x for c in changes for x in ("--change", c)), container, name)
    box("rm", container)
    box("push", name)
    box("rmi", name)
    return image


def test_run_pulls_what_is_absent(box: Ferry, registry: Registry) -> None:
    name = f"{registry.address}/app"
    pushed(box, f"{name}:latest")
    done = box(*RUN, "--pull", "never", name, "true", check=False)
    assert (done.returncode, done.stderr) == (
        125,
        f"Error: No such image: {name}:latest\n".encode(),
    )
    done = box(*RUN, name, "echo", "here")
    assert done.stdout == b"here\n"
    said = done.stderr.decode().splitlines()
    assert said[:2] == [
        f"Unable to find image '{name}:latest' locally",
        "latest: Pulling from app",
    ]
    assert said[-1] == f"Status: Downloaded newer image for {name}:latest"
    done = box(*RUN, name, "echo", "here")
    assert (done.stdout, done.stderr) == (b"here\n", b"")
    box("rmi", name)
    done = box("create", "--quiet", "--network", "none", name, "true")
    assert done.stderr == b""


def test_run_pulls_always(box: Ferry, registry: Registry) -> None:
    name = f"{registry.address}/app:1"
    first = pushed(box, name, "CMD echo first")
    assert box.text(*RUN, name) == "first"
    kept = box.text("inspect", "-f", "{{.Id}}", name)
    assert kept == first
    other = Ferry(registry.folder / "other")
    container = other.text("create", name)
    other("commit", "--change", "CMD echo second", container, name)
    other("rm", container)
    other("push", name)
    assert box.text(*RUN, name) == "first"
    done = box(*RUN, "--pull", "always", name)
    assert done.stdout == b"second\n"
    assert "Downloaded newer image" in done.stderr.decode()
    assert "up to date" in box(*RUN, "--pull", "always", name).stderr.decode()


def test_build_pulls_its_base(box: Ferry, registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.address}/base:1"
    pushed(box, name, "ENV MADE=first")
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(f"FROM {name}\nRUN echo $MADE > /made\n")

    def built(*flags: str) -> str:
        done = box("build", "--network", "none", *flags, "-t", "built:1", tmp_path / "context")
        assert f"[internal] pull {name}" in done.stderr.decode()
        return box.text(*RUN, "built:1", "cat", "/made")

    assert built() == "first"
    other = Ferry(registry.folder / "other")
    container = other.text("create", name)
    other("commit", "--change", "ENV MADE=second", container, name)
    other("rm", container)
    other("push", name)
    done = box("build", "--network", "none", "-t", "built:1", tmp_path / "context")
    assert "[internal] pull" not in done.stderr.decode()
    assert built("--pull") == "second"
    done = box("build", "--pull", "--network", "none", "-t", "built:1", tmp_path / "context")
    assert "Digest: sha256:" in done.stderr.decode()


def test_build_names_what_cannot_be_had(box: Ferry, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {registry.address}/nothere:1\n")
    done = box("build", tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == (
        f"Error: Dockerfile:1: {registry.address}/nothere:1: not found: it cannot be pulled: "
        f"manifest for {registry.address}/nothere:1 not found: manifest unknown: manifest unknown"
    )
