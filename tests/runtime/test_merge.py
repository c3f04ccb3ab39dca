from typing import Any

import pytest

from ferryman.errors import InvalidImage
from ferryman.runtime.merge import merged
from ferryman.runtime.settings import Config, Healthcheck, InvalidSettings

IMAGE = {
    "Entrypoint": ["/init"],
    "Cmd": ["serve"],
    "Env": ["PATH=/bin", "A=1", "ALONE"],
    "Labels": {"a": "1", "b": "2"},
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/data": {}},
    "User": "ann",
    "WorkingDir": "/srv",
    "StopSignal": "SIGINT",
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5, "Retries": 3},
    "OnBuild": ["RUN true"],
    "Hostname": "from-a-commit",
}


def of_image(asked: Config, **changes: Any) -> Config:
    return merged({"config": IMAGE | changes}, asked)


def test_what_the_user_leaves_to_the_image() -> None:
    assert of_image(Config()) == Config(
        entrypoint=["/init"],
        cmd=["serve"],
        env=["PATH=/bin", "A=1", "ALONE"],
        labels={"a": "1", "b": "2"},
        exposed_ports={"80/tcp": {}},
        volumes={"/data": {}},
        user="ann",
        working_dir="/srv",
        stop_signal="SIGINT",
        healthcheck=Healthcheck(["CMD", "true"], interval=5, retries=3),
    )


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "want"),
    [
        (None, None, (["/init"], ["serve"])),
        (None, ["x"], (["/init"], ["x"])),
        (["/other"], None, (["/other"], None)),
        (["/other"], ["x"], (["/other"], ["x"])),
        ([""], ["x"], (None, ["x"])),
        ([], None, ([], ["serve"])),
    ],
)
def test_entrypoint_and_command(
    entrypoint: list[str] | None, cmd: list[str] | None, want: tuple[Any, Any]
) -> None:
    found = of_image(Config(entrypoint=entrypoint, cmd=cmd))
    assert (found.entrypoint, found.cmd) == want


@pytest.mark.parametrize("asked", [Config(), Config(entrypoint=[""]), Config(entrypoint=[])])
def test_nothing_to_be_run(asked: Config) -> None:
    with pytest.raises(InvalidSettings, match="no command specified"):
        merged({"config": {}}, asked)


def test_an_entry_point_taken_away_leaves_no_command() -> None:
    with pytest.raises(InvalidSettings, match="no command specified"):
        of_image(Config(entrypoint=[""]))


def test_env() -> None:
    asked = Config(env=["B=2", "A=3", "PATH"])
    assert of_image(asked).env == ["B=2", "A=3", "PATH", "ALONE"]


def test_unions() -> None:
    asked = Config(labels={"b": "3", "c": "4"}, exposed_ports={"81/udp": {}}, volumes={"/more": {}})
    found = of_image(asked)
    assert found.labels == {"a": "1", "b": "3", "c": "4"}
    assert found.exposed_ports == {"80/tcp": {}, "81/udp": {}}
    assert found.volumes == {"/data": {}, "/more": {}}


@pytest.mark.parametrize(
    ("asked", "want"),
    [
        (Healthcheck(["NONE"]), Healthcheck(["NONE"], interval=5, retries=3)),
        (Healthcheck(interval=7), Healthcheck(["CMD", "true"], interval=7, retries=3)),
        (
            Healthcheck(["CMD-SHELL", "x"], timeout=9, retries=1),
            Healthcheck(["CMD-SHELL", "x"], interval=5, timeout=9, retries=1),
        ),
    ],
)
def test_healthcheck(asked: Healthcheck, want: Healthcheck) -> None:
    assert of_image(Config(healthcheck=asked)).healthcheck == want
    assert of_image(Config(healthcheck=asked), Healthcheck=None).healthcheck == asked


def test_what_the_user_says_alone() -> None:
    asked = Config(user="ben", working_dir="/w", stop_signal="9", tty=True, stop_timeout=5)
    found = of_image(asked)
    assert (found.user, found.working_dir, found.stop_signal) == ("ben", "/w", "9")
    assert (found.tty, found.stop_timeout, found.hostname) == (True, 5, "")


@pytest.mark.parametrize("config", [None, {}, {"Env": None, "Healthcheck": {"Test": None}}])
def test_an_image_that_says_nothing(config: dict[str, Any] | None) -> None:
    found = merged({"config": config}, Config(cmd=["x"]))
    assert (found.env, found.cmd) == (None, ["x"])


@pytest.mark.parametrize("config", [[1], 5, {"Env": "A=1"}, {"Cmd": [1]}, {"Labels": []}])
def test_an_image_that_is_none(config: Any) -> None:
    with pytest.raises(InvalidImage, match="the image's config is invalid"):
        merged({"config": config}, Config(cmd=["x"]))
