from typing import Any

import pytest
from tests.archives import FORMS, Members, as_json, docker_before_25, entry, jib, source
from tests.images import Made, docker_archive, made, sha256, small, tar_of

from ferryman.archive import docker
from ferryman.archive.candidate import Candidate
from ferryman.archive.documents import Documents
from ferryman.errors import InvalidArchive

ONE = small("one", "one:1", "quay.io/one:2")
TWO = small("two")
DOCKER = {name: form for name, form in FORMS.items() if "oci" not in name and name != "skopeo"}


def read(parts: Members) -> list[Candidate] | None:
    return docker.candidates(Documents(source(parts)))


def manifest(*entries: Any) -> Members:
    """Return an archive of one image, with something else for a ``manifest.json``."""
    return {**docker_archive(ONE), "manifest.json": as_json(list(entries))}


def good() -> dict[str, Any]:
    return entry(f"{ONE.id[7:]}.json", ONE, [f"{layer[7:]}/layer.tar" for layer in ONE.diff_ids])


@pytest.mark.parametrize("form", DOCKER)
def test_what_is_in_it(form: str) -> None:
    parts = DOCKER[form](ONE, TWO)
    opened = source(parts)
    found = docker.candidates(Documents(opened)) or []
    for candidate, image in zip(found, (ONE, TWO), strict=True):
        assert [name.familiar for name in candidate.names] == list(image.names)
        assert candidate.target is None
        assert candidate.image_id == image.id
        assert candidate.documents == {image.id: image.config}
        (part,) = candidate.parts
        assert [layer.diff_id for layer in part.layers] == image.diff_ids
        assert all(opened.find(layer.part or "") == layer.part for layer in part.layers)


def test_names_that_say_nothing() -> None:
    (candidate,) = read(jib(ONE)) or []
    assert candidate.image_id == ONE.id


def test_the_same_layer_twice() -> None:
    layer = tar_of()
    (candidate,) = read(docker_before_25(made(layer, layer, layer, names=["x:1"]))) or []
    parts = [each.part for each in candidate.parts[0].layers]
    assert len(parts) == 3
    assert len(set(parts)) == 1


def test_an_image_without_layers() -> None:
    empty = made(names=["empty:1"])
    no_layers: list[list[str] | None] = [[], None]
    for layers in no_layers:
        parts: Members = {
            "config.json": empty.config,
            "manifest.json": as_json([{"Config": "config.json", "Layers": layers}]),
        }
        (candidate,) = read(parts) or []
        assert candidate.parts[0].layers == ()
        assert candidate.names == ()


def test_a_layer_that_is_not_there_may_be_in_the_store() -> None:
    parts = docker_archive(ONE)
    del parts[f"{ONE.diff_ids[0][7:]}/layer.tar"]
    (candidate,) = read({**parts}) or []
    assert [layer.part is None for layer in candidate.parts[0].layers] == [True, False]


def test_no_docker_archive() -> None:
    assert read({"index.json": b"{}"}) is None


def spoiled(image: Made, config: bytes) -> Members:
    """Return an archive in which the config is something else, under its right name."""
    name = f"{sha256(config)[7:]}.json"
    layers = [f"{layer[7:]}/layer.tar" for layer in image.diff_ids]
    return {name: config, "manifest.json": as_json([entry(name, image, layers)])}


REFUSED: dict[str, tuple[Members, str]] = {
    "an empty list": (manifest(), "it: manifest.json names no image"),
    "null": ({"manifest.json": b"null"}, "it: manifest.json names no image"),
    "skopeo's dir": ({"manifest.json": b' {"schemaVersion":2}'}, "this looks like the dir: form"),
    "an entry that is null": (manifest(None), "it: manifest.json is invalid: Expected `object`"),
    "no config": (manifest({"Layers": []}), "missing required field `Config`"),
    "a config that is not there": (
        manifest(good() | {"Config": "other.json"}),
        "it: manifest.json: config 'other.json' is not in the archive",
    ),
    "a config of another digest": (
        {**docker_archive(ONE), f"{ONE.id[7:]}.json": TWO.config},
        f"it: config {ONE.id[7:]}.json is damaged: its digest is {TWO.id}",
    ),
    "a config that is none": (spoiled(ONE, b"[]"), "is invalid: Expected `object`, got `array`"),
    "a config with too few layers": (
        spoiled(ONE, made(tar_of()).config),
        "it: invalid manifest, layers length mismatch: expected 1, got 2",
    ),
    "no layers": (
        manifest(good() | {"Layers": None}),
        "it: invalid manifest, layers length mismatch: expected 2, got 0",
    ),
    "a layer that is null": (
        manifest(good() | {"Layers": ["a", None]}),
        "it: manifest.json is invalid: Expected `str`, got `null` - at `$[0].Layers[1]`",
    ),
    "a layer outside": (
        manifest(good() | {"Layers": ["a", "../../b"]}),
        "it: name that leads outside the archive: '../../b'",
    ),
    "a config outside": (
        manifest(good() | {"Config": "/etc/passwd"}),
        "it: absolute name '/etc/passwd'",
    ),
    "a name without a tag": (
        manifest(good() | {"RepoTags": ["one"]}),
        'it: manifest.json: invalid tag "one"',
    ),
    "a name with a digest": (
        manifest(good() | {"RepoTags": [f"one@{ONE.id}"]}),
        "it: manifest.json: invalid tag",
    ),
    "no name": (
        manifest(good() | {"RepoTags": ["One:1"]}),
        "it: manifest.json: invalid reference format: repository name (library/One) must be",
    ),
    "a name that is null": (manifest(good() | {"RepoTags": [None]}), "Expected `str`, got `null`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    parts, words = REFUSED[case]
    with pytest.raises(InvalidArchive) as raised:
        read(parts)
    assert str(raised.value).startswith("it: ")
    assert words in str(raised.value)
