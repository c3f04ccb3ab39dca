"""docker reads the flags of ``create`` as ferry does: the tables of tests/cli, asked again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_run_flags import RIGHT, WRONG, Right, Wrong, place
from tests.command import Command
from tests.peers.test_change_docker import tiny_tar

pytestmark = pytest.mark.peer

IMAGE = "ferry-test/flags:1"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flags")
    place(folder)
    return folder


@pytest.fixture(scope="module")
def docker(dockerd: Command, here: Path) -> Iterator[Command]:
    """docker as started in the folder of the table's files, with an image to make containers of."""
    dockerd.run("import", "--change", "CMD x", "-", IMAGE, input=tiny_tar())
    env = {**dockerd.env, "FERRY_TEST": "from here"}
    yield Command(("env", "--chdir", str(here), *dockerd.argv), env)
    dockerd.run("rmi", "--force", IMAGE)


@pytest.fixture(scope="module")
def major(dockerd: Command) -> int:
    return int(dockerd.text("version", "--format", "{{.Client.Version}}").partition(".")[0])


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.flags)
def test_wrong(docker: Command, major: int, case: Wrong) -> None:
    done = docker.run("create", *case.split, IMAGE, check=False)
    assert done.returncode == 125
    # Other clients refuse the same in slightly other words.
    assert major != 28 or case.words in done.stderr.decode()


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.flags)
def test_right(docker: Command, case: Right, here: Path) -> None:
    made = docker.text("create", *network(case), *case.words, IMAGE, "x")
    try:
        (described,) = json.loads(docker.text("inspect", made))
    finally:
        docker.run("rm", "--volumes", made)
    for told, found in ((case.config, described["Config"]), (case.host, described["HostConfig"])):
        want = json.loads(json.dumps(dict(told)).replace("HERE", str(here)))
        keys = [key for key in want if key not in case.daemons]
        assert {key: normal(key, found.get(key)) for key in keys} == {
            key: normal(key, want[key]) for key in keys
        }


def network(case: Right) -> list[str]:
    """The daemon of the tests has no network to give."""
    return [] if "--net" in case.flags else ["--network", "none"]


def normal(key: str, value: Any) -> Any:
    """Return what is not told apart: the order of some lists, and variables of docker's own."""
    if key == "Env":
        return sorted(each for each in value or [] if not each.startswith("PATH="))
    if key == "Binds":
        return sorted(value or [])
    if key == "Mounts":
        for mount in value:
            # docker has volumes of other drivers too.
            mount.get("VolumeOptions", {}).pop("DriverConfig", None)
    return value or None


def test_the_environment_is_the_same_for_both() -> None:
    assert "FERRY_NONE" not in os.environ
