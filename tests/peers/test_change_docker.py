"""``--change`` makes of a config what docker makes of it: the table of tests/build, asked again."""

import io
import tarfile
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from tests.build.test_change import CASES, TO_AN_IMAGE, Answer, Case, answer, filled, name
from tests.command import Command

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def major(dockerd: Command) -> int:
    return int(dockerd.text("version", "--format", "{{.Server.Version}}").partition(".")[0])


@pytest.mark.parametrize("case", CASES, ids=name)
def test_import(dockerd: Command, major: int, case: Case) -> None:
    ours, theirs = answer(case.changes), imported(dockerd, case.changes)
    if major < 23:
        assert theirs == (ours if case.was is None else case.was)
    elif theirs != ours and theirs != case.was:
        # Since then the words of a refusal have changed from one version to the next.
        assert isinstance(theirs, str)
        assert isinstance(ours, str) or isinstance(case.was, str)


@pytest.mark.parametrize(("before", "changes", "want"), TO_AN_IMAGE)
def test_commit(
    dockerd: Command, before: Sequence[str], changes: Sequence[str], want: dict[str, Any]
) -> None:
    image = dockerd.run("import", *flags(before), "-", input=tiny_tar()).stdout.decode().strip()
    container = dockerd.text("create", image)
    committed = dockerd.text("commit", *flags(changes), container)
    theirs = config(dockerd, committed)
    dockerd.run("rm", container)
    dockerd.run("rmi", "--no-prune", committed, image)
    # The others are the container's own: its name, its image, its terminal.
    assert {key: theirs.get(key) for key in want} == want
    assert answer(changes, before) == want


def imported(docker: Command, changes: Sequence[str]) -> Answer:
    """Return what docker makes of changes to an empty config, or why it does not."""
    done = docker.run("import", *flags(changes), "-", input=tiny_tar(), check=False)
    if done.returncode:
        return done.stderr.decode().strip().removeprefix("Error response from daemon: ")
    image = done.stdout.decode().strip()
    made = config(docker, image)
    docker.run("rmi", image)
    return made


def config(docker: Command, image: str) -> dict[str, Any]:
    # Of the daemon itself: later clients leave out what is empty.
    socket = docker.env["DOCKER_HOST"].removeprefix("unix://")
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket)) as client:
        return filled(client.get(f"http://docker/images/{image}/json").json()["Config"])


def flags(changes: Sequence[str]) -> list[str]:
    return [word for change in changes for word in ("--change", change)]


def tiny_tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
    return content.getvalue()
