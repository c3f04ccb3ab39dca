import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferryman.errors import ImageNotFound, InvalidReference, StoreError
from ferryman.image import platform as platforms
from ferryman.image import reference
from ferryman.image.digest import Digest
from ferryman.store import images
from ferryman.store.images import all_images, find, of_target, referenced, resolve, walk
from ferryman.store.index import entries, named, update
from ferryman.store.layout import Store
from tests.images import (
    Made,
    Parts,
    docker_archive,
    index,
    layout,
    load_into,
    made,
    put,
    put_image,
    put_index,
    small,
    tar_of,
)
from tests.images import named as with_name

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ONE, TWO = small("one", "one:1", "quay.io/ferry/one:latest"), small("two", "two:latest")


@pytest.fixture
def full(here: Store) -> Store:
    """A store with ONE and TWO, and an image without a name."""
    load_into(here, docker_archive(ONE, TWO, small("nameless")))
    return here


def a_layout(parts: Parts, *descriptors: dict[str, Any]) -> Parts:
    return parts | {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": index(*descriptors),
    }


def like(prefix: str, avoid: str = "x") -> Made:
    """Return an image whose ID begins like this, found by trying."""
    for i in range(1 << 20):
        image = made(created_by_trying=i)
        if image.id[7:].startswith(prefix) and not image.id[7:].startswith(avoid):
            return image
    raise AssertionError("unlikely")


def forms(image: Made) -> list[str]:
    encoded = image.id[7:]
    return [image.id, encoded, encoded[:12], f"sha256:{encoded[:12]}", encoded[:4]]


@pytest.mark.parametrize("text", ["two", "two:latest", "docker.io/library/two", "library/two"])
def test_found_by_name(full: Store, text: str) -> None:
    image, name = resolve(full, text)
    assert image.id == TWO.id
    assert name == reference.parse("two:latest")


@pytest.mark.parametrize("text", forms(ONE))
def test_found_by_id_with_all_names(full: Store, text: str) -> None:
    image, name = resolve(full, text)
    assert (image.id, name) == (ONE.id, None)
    assert image.repo_tags == ["one:1", "quay.io/ferry/one:latest"]
    assert image.repo_digests == [f"one@{image.digest}", f"quay.io/ferry/one@{image.digest}"]


def test_found_by_the_manifests_digest(full: Store) -> None:
    digest = find(full, "one:1").digest
    for text in (digest, digest.encoded[:12], f"one@{digest}", f"quay.io/ferry/one@{digest}"):
        assert find(full, text).id == ONE.id


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one", "one:latest"),
        ("one:2", "one:2"),
        ("quay.io/ferry/two", "quay.io/ferry/two:latest"),
        ("docker.io/library/three:1", "three:1"),
        ("fefefefe", "fefefefe:latest"),
        ("f" * 64, f"sha256:{'f' * 64}"),
        (f"sha256:{'f' * 64}", f"sha256:{'f' * 64}"),
        (f"one@sha256:{'f' * 64}", f"one@sha256:{'f' * 64}"),
    ],
)
def test_not_there_in_dockers_words(full: Store, text: str, shown: str) -> None:
    with pytest.raises(ImageNotFound) as raised:
        find(full, text)
    assert str(raised.value) == f"No such image: {shown}"


def test_a_repository_has_not_the_digest_of_another(full: Store) -> None:
    with pytest.raises(ImageNotFound):
        find(full, f"two@{find(full, 'one:1').digest}")


@pytest.mark.parametrize("text", ["", "UPPER", "a:b:c", "one:", "sha256:", "../x", "one@sha256:f"])
def test_what_is_no_name(full: Store, text: str) -> None:
    with pytest.raises(InvalidReference):
        find(full, text)


@pytest.mark.parametrize("length", [1, 3, 4, 12, 63])
def test_a_name_comes_before_an_id(here: Store, length: int) -> None:
    """As in docker, which an ID of any length serves."""
    load_into(here, docker_archive(ONE))
    prefix = ONE.id[7 : 7 + length]
    assert find(here, prefix).id == ONE.id
    load_into(here, docker_archive(TWO._replace(names=(f"{prefix}:latest",))))
    assert find(here, prefix).id == TWO.id
    assert find(here, f"sha256:{prefix}").id == ONE.id
    assert find(here, ONE.id).id == ONE.id


@pytest.mark.parametrize("name", ["sha256:abcd", "sha512:latest", "docker.io/library/sha256:1"])
def test_no_name_is_taken_for_an_id(full: Store, name: str) -> None:
    target = find(full, "two").target
    with pytest.raises(InvalidReference, match="refusing to create an ambiguous tag"):
        update(full, lambda before: named(before, reference.parse(name), target))
    assert find(full, "two").repo_tags == ["two:latest"]


def test_an_ambiguous_id(here: Store) -> None:
    one, two = like("ab"), like("ab", avoid=like("ab").id[7:10])
    load_into(here, docker_archive(one, two))
    for text in ("ab", "sha256:ab"):
        with pytest.raises(ImageNotFound, match=f"{text} is ambiguous: 2 images"):
            find(here, text)
    for image in (one, two):
        assert find(here, image.id[7:17]).id == image.id


def test_an_image_id_comes_before_a_manifests_digest(here: Store) -> None:
    load_into(here, docker_archive(ONE))
    prefix = find(here, "one:1").digest.encoded[:2]
    image = like(prefix)
    load_into(here, docker_archive(image))
    assert find(here, prefix).id == image.id


def test_one_image_under_two_manifests(here: Store) -> None:
    """Plain and compressed: two digests, one ID, which is not ambiguous."""
    load_into(here, layout(ONE))
    load_into(here, layout(ONE._replace(names=("packed:1",)), compression="gzip"))
    assert len({entry.digest for entry in entries(here)}) == 2
    image = find(here, ONE.id)
    assert image.repo_tags == ["one:1", "quay.io/ferry/one:latest", "packed:1"]
    assert find(here, "packed:1").digest != find(here, "one:1").digest
    assert images.size(here, find(here, "packed:1")) == images.size(here, find(here, "one:1"))


def for_platforms(*names: str) -> tuple[Parts, dict[str, Any], dict[str, Made]]:
    """Return a layout of an index with an image for each platform, its index, and the images."""
    parts: Parts = {}
    descriptors, by_name = [], {}
    for name in names:
        system, architecture, *variant = name.split("/")
        said = {"os": system, "architecture": architecture} | (
            {"variant": variant[0]} if variant else {}
        )
        by_name[name] = made(tar_of(), **said)
        descriptors.append(put_image(parts, by_name[name]) | {"platform": said})
    return parts, put_index(parts, *descriptors), by_name


@pytest.mark.parametrize(
    ("machine", "asked", "got"),
    [
        ("x86_64", None, "linux/amd64"),
        ("aarch64", None, "linux/arm64"),
        ("armv7l", None, "linux/arm/v7"),
        ("armv6l", None, "linux/arm/v6"),
        ("s390x", None, "linux/arm/v6"),
        ("x86_64", "linux/arm64", "linux/arm64"),
        ("x86_64", "linux/arm/v6", "linux/arm/v6"),
        ("x86_64", "arm", "linux/arm/v7"),
    ],
)
def test_of_an_index_the_image_for_the_platform(
    here: Store, monkeypatch: pytest.MonkeyPatch, machine: str, asked: str | None, got: str
) -> None:
    names = ("linux/arm/v6", "linux/amd64", "linux/arm64", "linux/arm/v7")
    parts, target, by_name = for_platforms(*names)
    load_into(here, a_layout(parts, with_name(target, "multi:1")))
    monkeypatch.setattr(platforms, "host", lambda: platforms._normal("linux", machine, ""))
    image = find(here, "multi:1", platforms.parse(asked) if asked else None)
    assert image.id == by_name[got].id
    assert image.digest == target["digest"]


def test_a_platform_that_is_not_there(here: Store) -> None:
    parts, target, _ = for_platforms("linux/amd64", "linux/arm64")
    load_into(here, a_layout(parts, with_name(target, "multi:1")))
    with pytest.raises(ImageNotFound, match="no image for platform linux/s390x"):
        find(here, "multi:1", platforms.parse("linux/s390x"))


def test_attestations_are_no_image(here: Store) -> None:
    parts, _, by_name = for_platforms("linux/arm64")
    image = put_image(parts, by_name["linux/arm64"])
    attestation = made(tar_of(), os="unknown", architecture="unknown")
    target = put_index(parts, put_image(parts, attestation), image)
    load_into(here, a_layout(parts, with_name(target, "attested:1")))
    assert find(here, "attested:1").id == by_name["linux/arm64"].id


def artifact(parts: Parts) -> dict[str, Any]:
    config = put(parts, b"{}", "application/vnd.oci.empty.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/x-signature",
        "config": config,
        "layers": [put(parts, b"signed", "text/plain")],
    }
    return put(parts, json.dumps(manifest).encode(), MANIFEST)


def test_an_artifact_in_an_index_is_carried_along(here: Store) -> None:
    parts: Parts = {}
    signature = artifact(parts)
    target = put_index(parts, signature, put_image(parts, ONE))
    (loaded,) = load_into(here, a_layout(parts, with_name(target, "signed:1")))
    assert loaded.id == find(here, "signed:1").id == ONE.id
    needed = {blob.digest for blob in referenced(here, find(here, "signed:1").target)}
    assert signature["digest"] in needed


def test_an_artifact_beside_images_does_not_become_one(here: Store) -> None:
    parts: Parts = {}
    signature = artifact(parts)
    image = put_image(parts, ONE)
    load_into(here, a_layout(parts, with_name(signature, "sig:1"), with_name(image, "one:1")))
    assert [i.repo_tags for i in all_images(here)] == [["one:1"]]


def test_an_artifact_that_another_tool_put_there_is_passed_over(full: Store) -> None:
    before = [image.id for image in all_images(full)]
    parts: Parts = {}
    descriptor = artifact(parts)
    for name, content in parts.items():
        Path(full.layout, name).write_bytes(content)
    with open(full.index_file, "r+") as f:
        listed = json.load(f)
        listed["manifests"].append(with_name(descriptor, "artifact:1"))
        f.seek(0)
        json.dump(listed, f)
    assert [image.id for image in all_images(full)] == before
    with pytest.raises(ImageNotFound):
        find(full, "artifact:1")
    assert find(full, ONE.id).id == ONE.id


def nested(depth: int, copies: int = 1) -> Parts:
    parts: Parts = {}
    target = put_image(parts, ONE)
    for _ in range(depth):
        target = put_index(parts, *[target] * copies)
    return a_layout(parts, with_name(target, "nested:1"))


def test_nested_indexes(here: Store) -> None:
    load_into(here, nested(7))
    assert find(here, "nested:1").id == ONE.id


def test_an_index_that_names_one_thing_often_is_walked_once(here: Store) -> None:
    """Ten copies, seven deep: ten million ways to one image."""
    load_into(here, nested(7, copies=10))
    target = find(here, "nested:1").target
    assert len(list(walk(here, target))) == 8


def missing(store: Store, digest: str) -> None:
    os.unlink(store.blob(Digest(digest)))


def damaged(store: Store, digest: str) -> None:
    Path(store.blob(Digest(digest))).write_bytes(b"{}")


@pytest.mark.parametrize("harm", [missing, damaged])
@pytest.mark.parametrize("what", ["manifest", "config"])
def test_what_is_damaged_is_named(
    full: Store, harm: Callable[[Store, str], None], what: str
) -> None:
    image = find(full, "one:1")
    digest = image.digest if what == "manifest" else image.id
    harm(full, digest)
    with pytest.raises(StoreError, match=digest):
        find(full, "one:1")
    with pytest.raises(StoreError, match=digest):
        all_images(full)
    assert find(full, "two").id == TWO.id


def test_a_platform_that_was_left_out_is_no_damage(here: Store) -> None:
    parts, target, by_name = for_platforms("linux/amd64", "linux/arm64")
    load_into(
        here, a_layout(parts, with_name(target, "multi:1")), platform=platforms.parse("linux/arm64")
    )
    (entry,) = entries(here)
    assert of_target(here, entry.target).id == by_name["linux/arm64"].id
    assert len({blob.digest for blob in referenced(here, entry.target)}) == 4
