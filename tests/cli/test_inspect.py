import json
from pathlib import Path
from typing import Any

import pytest

from ferryman.store.layout import open_store
from tests.cli.conftest import Answer, Ask
from tests.cli.gotemplate.image import IMAGE, NAME
from tests.cli.some_images import EMPTY, MANY, NAMELESS, NEVER, ON_BASE
from tests.images import docker_archive, load_into, made


def described(ask: Ask, root: Path, *arguments: str) -> dict[str, Any]:
    code, out, err = ask("inspect", *arguments, root=root)
    assert (code, err) == (0, "")
    (found,) = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_the_whole(ask: Ask, some_images: Path) -> None:
    found = described(ask, some_images, "some/a:1")
    digest = found["Descriptor"]["digest"]
    blob = some_images / "image/blobs" / digest.replace(":", "/")
    assert found == {
        "Id": MANY.id,
        "RepoTags": ["other:latest", "some/a:1", "some/a:two", "quay.io/some/a:3"],
        "RepoDigests": [f"{name}@{digest}" for name in ("other", "some/a", "quay.io/some/a")],
        "Parent": "",
        "Comment": "buildkit.dockerfile.v0",
        "Created": "2024-03-01T00:00:00Z",
        "DockerVersion": "",
        "Author": "somebody",
        "Config": {
            "Hostname": "",
            "Domainname": "",
            "User": "",
            "AttachStdin": False,
            "AttachStdout": False,
            "AttachStderr": False,
            "Tty": False,
            "OpenStdin": False,
            "StdinOnce": False,
            "Env": ["A=1"],
            "Cmd": None,
            "Image": "",
            "Volumes": None,
            "WorkingDir": "",
            "Entrypoint": None,
            "OnBuild": None,
            "Labels": {"a": "1", "b": "2"},
        },
        "Architecture": json.loads(MANY.config)["architecture"],
        "Os": "linux",
        "Size": 20480,
        "VirtualSize": 20480,
        "GraphDriver": {"Data": {"Layout": str(some_images / "image")}, "Name": "oci-layout"},
        "RootFS": {"Type": "layers", "Layers": MANY.diff_ids},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": {
            "mediaType": json.loads(blob.read_bytes())["mediaType"],
            "digest": digest,
            "size": blob.stat().st_size,
        },
    }


def test_by_whatever_name(ask: Ask, some_images: Path) -> None:
    found = described(ask, some_images, "some/b:1")
    digest = found["Descriptor"]["digest"]
    names = ["docker.io/some/b:1", f"some/b@{digest}", ON_BASE.id, ON_BASE.id[7:], ON_BASE.id[7:13]]
    for name in [*names, f"sha256:{ON_BASE.id[7:19]}", digest]:
        assert described(ask, some_images, name) == found
    assert described(ask, some_images, "--type", "image", "some/b:1") == found
    assert described(ask, some_images, "--platform", "linux", "some/b:1") == found


def test_what_an_image_does_not_say(ask: Ask, some_images: Path) -> None:
    found = described(ask, some_images, NAMELESS.id)
    assert (found["RepoTags"], found["RepoDigests"]) == ([], [])
    assert described(ask, some_images, "some/never:1")["Created"] == "0001-01-01T00:00:00Z"
    assert described(ask, some_images, "some/b:1")["Comment"] == "a comment"
    assert described(ask, some_images, "some/empty:1")["RootFS"]["Layers"] == []


def test_settings_are_in_dockers_order(ask: Ask, store: Path) -> None:
    load_into(open_store(str(store)), docker_archive(IMAGE))
    settings = described(ask, store, NAME)["Config"]
    assert list(settings) == [
        *("Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr"),
        *("ExposedPorts", "Tty", "OpenStdin", "StdinOnce", "Env", "Cmd", "Healthcheck", "Image"),
        *("Volumes", "WorkingDir", "Entrypoint", "OnBuild", "Labels"),
    ]
    assert list(settings["ExposedPorts"]) == ["53/udp", "80/tcp"]
    assert list(settings["Labels"]) == ["a", "b", "com.example.x", "größe"]


def test_settings_that_docker_does_not_know_are_kept(ask: Ask, store: Path) -> None:
    odd = made(names=("odd:1",), config={"Own": {"b": 1, "a": 2}, "Shell": []})
    load_into(open_store(str(store)), docker_archive(odd))
    settings = described(ask, store, "odd:1")["Config"]
    assert list(settings)[-1] == "Own"
    assert settings["Own"] == {"b": 1, "a": 2}
    assert "Shell" not in settings


def test_several(ask: Ask, some_images: Path) -> None:
    code, out, err = ask("inspect", "some/b:1", "nothing", EMPTY.id, root=some_images)
    assert (code, err) == (1, "Error: No such object: nothing\n")
    assert [each["Id"] for each in json.loads(out)] == [ON_BASE.id, EMPTY.id]
    assert out.startswith('[\n    {\n        "Id": "sha256:')
    code, out, err = ask("inspect", "-f", "json", "some/b:1", NEVER.id, root=some_images)
    assert (code, err) == (0, "")
    assert [each["Id"] for each in json.loads(out)] == [ON_BASE.id, NEVER.id]
    assert len(out.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("inspect nothing", "No such object: nothing"),
        ("inspect Upper", "No such object: Upper"),
        ("inspect sha256:0000", "No such object: sha256:0000"),
        ("inspect --type image nothing", "No such image: nothing:latest"),
        ("image inspect nothing", "No such image: nothing:latest"),
        (
            "image inspect Upper",
            "invalid reference format: repository name (library/Upper) must be lowercase",
        ),
        (
            f"image inspect some/a@sha256:{'0' * 64}",
            f"No such image: some/a@sha256:{'0' * 64}",
        ),
    ],
)
def test_what_is_not_there(ask: Ask, some_images: Path, arguments: str, message: str) -> None:
    asked = ask(*arguments.split(), root=some_images)
    assert asked == Answer(1, "[]\n", f"Error: {message}\n")


def test_not_for_this_platform(ask: Ask, some_images: Path) -> None:
    asked = ask("image", "inspect", "--platform", "linux/s390x", "some/b:1", root=some_images)
    assert asked == Answer(1, "[]\n", "Error: no image for platform linux/s390x in some/b:1\n")


def test_a_config_that_is_nested_deeply(ask: Ask, store: Path) -> None:
    nested = json.loads("[" * 900 + "]" * 900)
    odd = made(names=("odd:1",), config={"Own": nested})
    load_into(open_store(str(store)), docker_archive(odd))
    assert described(ask, store, "odd:1")["Config"]["Own"] == nested
    code, out, err = ask("inspect", "-f", "{{.Config.Own}}", "odd:1", root=store)
    assert (code, out) == (1, "\n")
    assert err.endswith(": the value is nested too deeply\n")
