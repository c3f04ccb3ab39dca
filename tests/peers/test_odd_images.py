"""Images at the edges of what docker makes keep ID, layers and names, whoever carries them on."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.engines import in_archive, in_docker, in_ferry, in_podman
from tests.peers.odd import (
    DEEPEST,
    DEEPEST_IN_DOCKER,
    DOCKERFILES,
    HISTORY,
    IMAGES,
    TAGS,
    Odd,
    write_deep,
)

pytestmark = pytest.mark.peer


def canonical(tag: str) -> str:
    """Return docker's short name in full."""
    first, slash, _ = tag.partition("/")
    if not slash:
        return f"docker.io/library/{tag}"
    return tag if set(first) & set(".:") or first == "localhost" else f"docker.io/{tag}"


def test_images_are_as_odd_as_their_names_say(odd_image: Callable[[str], Odd]) -> None:
    configs = {}
    for name in IMAGES:
        with tarfile.open(odd_image(name).tar) as archive:
            manifest = json.load(archive.extractfile("manifest.json") or pytest.fail("no manifest"))
            config = archive.extractfile(manifest[0]["Config"]) or pytest.fail("no config")
            configs[name] = json.load(config)
    assert len(configs["history"]["history"]) == HISTORY + 1
    assert [step.get("empty_layer", False) for step in configs["empty-layers"]["history"]] == [
        *(True, False, True, True, False, True, True)
    ]
    first, second, third, fourth = odd_image("layer-twice").seen.layers
    assert first == second == fourth != third
    assert not odd_image("no-tag").seen.tags
    assert odd_image("ten-tags").seen.tags == set(TAGS["ten-tags"])
    assert configs["non-ascii"]["config"]["Labels"] == {"größe": "Fähre", "名前": "渡し船 🛶"}
    assert len(odd_image("deepest").seen.layers) == DEEPEST_IN_DOCKER


@pytest.mark.parametrize("name", IMAGES)
def test_docker_ferry_docker(
    name: str, odd_image: Callable[[str], Odd], dockerd: Command, ferry: Ferry, tmp_path: Path
) -> None:
    odd = odd_image(name)
    ferry("load", "-i", odd.tar)
    assert in_ferry(ferry, odd.names[0]) == odd.seen
    ferry("save", "-o", tmp_path / "saved.tar", *odd.names)
    dockerd.run("load", "-i", tmp_path / "saved.tar")
    assert in_docker(dockerd, odd.names[0]) == odd.seen
    dockerd.run("rmi", "--force", odd.seen.id)


@pytest.mark.parametrize("name", [*DOCKERFILES, "deeper"])
def test_podman_ferry_podman(
    name: str, odd_image: Callable[[str], Odd], podman: Command, ferry: Ferry, tmp_path: Path
) -> None:
    if name == "deeper":
        made = tmp_path / "made.tar"
        image_id = write_deep(made, DEEPEST, "localhost/deeper:1")
    else:
        made, image_id = odd_image(name).tar, odd_image(name).seen.id
    podman.run("load", "--input", made)
    before = in_podman(podman, image_id)
    names = sorted(before.tags) or [image_id.removeprefix("sha256:")]
    several = ["--multi-image-archive"] if len(names) > 1 else []
    podman.run("save", "--quiet", *several, "--output", tmp_path / "podman.tar", *names)
    podman.run("rmi", "--force", image_id)

    ferry("load", "-i", tmp_path / "podman.tar")
    assert in_ferry(ferry, image_id) == before
    for form in ("docker", "oci"):
        ours = tmp_path / f"{form}.tar"
        ferry("save", "--format", form, "-o", ours, *names)
        if form == "oci" and several:
            # podman loads such an archive only if it has one name; otherwise it is to be told.
            for tag in names:
                podman.run("pull", f"oci-archive:{ours}:{canonical(tag)}")
        else:
            podman.run("load", "--input", ours)
        assert in_podman(podman, image_id) == before
        podman.run("rmi", "--force", image_id)


@pytest.mark.parametrize("name", IMAGES)
def test_skopeo_docker_archive(
    name: str, odd_image: Callable[[str], Odd], skopeo: Command, ferry: Ferry, tmp_path: Path
) -> None:
    tar, seen = odd_image(name)
    theirs, ours = tmp_path / "skopeo.tar", tmp_path / "ferry.tar"
    first, *others = sorted(seen.tags) or [""]
    more = [flag for tag in others for flag in ("--additional-tag", tag)]
    source = f"docker-archive:{tar}" + (f":{first}" if first else "")
    skopeo.run("copy", source, f"docker-archive:{theirs}" + (f":{first}" if first else ""), *more)
    ferry("load", "-i", theirs)
    assert in_ferry(ferry, seen.id) == seen

    ferry("save", "-o", ours, *(seen.tags or [seen.id]))
    for tag in sorted(seen.tags) or [""]:
        source = f"docker-archive:{ours}" + (f":{tag}" if tag else "")
        assert in_archive(skopeo, source) == seen.without_tags()
    skopeo.run("copy", source, f"dir:{tmp_path}/dir")


@pytest.mark.parametrize("where", ["oci", "oci-archive"])
@pytest.mark.parametrize("name", IMAGES)
def test_skopeo_oci(
    name: str,
    where: str,
    odd_image: Callable[[str], Odd],
    skopeo: Command,
    ferry: Ferry,
    tmp_path: Path,
) -> None:
    odd = odd_image(name)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    # An oci-archive of skopeo's has place for one name; a folder takes several.
    tags = sorted(odd.seen.tags)[: 1 if where == "oci-archive" else None] or [""]
    for tag in tags:
        source = f"docker-archive:{odd.tar}" + (f":{tag}" if tag else "")
        skopeo.run("copy", source, f"{where}:{theirs}" + (f":{tag}" if tag else ""))
    # skopeo writes docker's config anew in the OCI's words: that makes another image of it.
    there = in_archive(skopeo, f"{where}:{theirs}" + (f":{tags[0]}" if tags[0] else ""))
    assert there.layers == odd.seen.layers

    ferry("load", "-i", theirs)
    expected = there._replace(tags=frozenset(tags) - {""})
    assert in_ferry(ferry, there.id) == expected
    ferry("save", "--format", "oci", "-o", ours, *(expected.tags or [there.id]))
    if where == "oci":
        with tarfile.open(ours) as archive:
            archive.extractall(tmp_path / "unpacked")
        ours = tmp_path / "unpacked"
    for tag in tags:
        source = f"{where}:{ours}" + (f":{canonical(tag)}" if tag else "")
        assert in_archive(skopeo, source) == there
    skopeo.run("copy", source, f"dir:{tmp_path}/dir")


@pytest.mark.parametrize("name", [*IMAGES, "deeper"])
def test_umoci_and_skopeo_read_the_store_as_it_stands(
    name: str,
    odd_image: Callable[[str], Odd],
    skopeo: Command,
    umoci: Command,
    ferry: Ferry,
    tmp_path: Path,
) -> None:
    if name == "deeper":
        image_id = write_deep(tmp_path / "made.tar", DEEPEST, "deeper:1")
        ferry("load", "-i", tmp_path / "made.tar")
    else:
        ferry("load", "-i", odd_image(name).tar)
        image_id = odd_image(name).seen.id
    if name == "no-tag":
        # umoci finds images by their names only.
        ferry("tag", image_id, "named-at-last:1")
    layout = ferry.root / "image"
    seen = in_ferry(ferry, image_id)
    assert set(umoci.text("ls", "--layout", layout).splitlines()) == seen.tags
    for tag in seen.tags:
        assert in_archive(skopeo, f"oci:{layout}:{tag}") == seen.without_tags()
        stat = json.loads(umoci.text("stat", "--json", "--image", f"{layout}:{tag}"))
        layers = [step["layer"]["digest"] for step in stat["history"] if step["layer"]]
        # Plain layers: their digests are their diff IDs.
        assert tuple(layers) == seen.layers
    umoci.run("unpack", "--image", f"{layout}:{min(seen.tags)}", tmp_path / "bundle")
    assert any((tmp_path / "bundle/rootfs").iterdir())


def test_docker_takes_no_more_layers_from_ferry_than_from_anybody(
    dockerd: Command, odd_image: Callable[[str], Odd], ferry: Ferry, tmp_path: Path
) -> None:
    made, ours = tmp_path / "made.tar", tmp_path / "ferry.tar"
    write_deep(made, DEEPEST, "deeper:1")
    ferry("load", "-i", made)
    ferry("save", "-o", ours, "deeper:1")
    # Its layers are the lower ones of the other: docker comes to the limit sooner.
    dockerd.run("load", "-i", odd_image("deepest").tar)
    for tar in (made, ours):
        refused = dockerd.run("load", "-i", tar, check=False)
        assert (refused.returncode, refused.stderr) == (1, b"max depth exceeded\n")
    dockerd.run("rmi", "--force", *odd_image("deepest").names)
