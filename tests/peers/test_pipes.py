"""Several images in one pipe, from one engine straight into the other."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.conftest import LAYERED
from tests.peers.engines import gone, in_docker, in_ferry, in_podman
from tests.peers.odd import Odd

pytestmark = pytest.mark.peer

Popen = subprocess.Popen[bytes]


def piped(writer: Popen, reader: Popen) -> str:
    """Wait for both; return what the reader printed."""
    assert writer.stdout is not None
    writer.stdout.close()
    said, errors = reader.communicate(timeout=300)
    assert reader.returncode == 0, errors
    assert writer.wait(timeout=300) == 0, writer.stderr and writer.stderr.read()
    return said.decode()


def test_docker_save_ferry_load_and_back(
    dockerd: Command,
    layered_image: str,
    layered_tar: Path,
    odd_image: Callable[[str], Odd],
    ferry: Ferry,
) -> None:
    small = odd_image("non-ascii")
    dockerd.run("load", "-i", small.tar)
    names = [layered_image, *small.seen.tags]
    before = [in_docker(dockerd, name) for name in names]

    writer = dockerd.popen("save", *names)
    said = piped(writer, ferry.popen("load", stdin=writer.stdout))
    assert sorted(said.splitlines()) == sorted(f"Loaded image: {name}" for name in names)
    assert [in_ferry(ferry, name) for name in names] == before

    with gone(dockerd, *names, back=layered_tar):
        writer = ferry.popen("save", *names)
        piped(writer, dockerd.popen("load", stdin=writer.stdout))
        assert [in_docker(dockerd, name) for name in names] == before
    dockerd.run("rmi", *small.seen.tags)


def test_podman_save_ferry_load_and_back(
    podman: Command, layered_tar: Path, odd_image: Callable[[str], Odd], ferry: Ferry
) -> None:
    small = odd_image("layer-twice")
    podman.run("load", "-i", layered_tar)
    podman.run("load", "-i", small.tar)
    before = [in_podman(podman, LAYERED), in_podman(podman, small.seen.id)]
    names = [name for seen in before for name in seen.tags]

    writer = podman.popen("save", "--quiet", "--multi-image-archive", *names)
    said = piped(writer, ferry.popen("load", stdin=writer.stdout))
    assert sorted(said.splitlines()) == sorted(f"Loaded image: {name}" for name in names)
    assert [in_ferry(ferry, name) for name in names] == before

    podman.run("rmi", "--force", *names)
    writer = ferry.popen("save", *names)
    piped(writer, podman.popen("load", stdin=writer.stdout))
    assert [in_podman(podman, name) for name in names] == before
    podman.run("rmi", "--force", *names)


def test_docker_to_podman_through_ferry(
    podman: Command, odd_image: Callable[[str], Odd], ferry: Ferry
) -> None:
    images = [odd_image("layer-twice"), odd_image("empty-layers")]
    for image in images:
        ferry("load", "-i", image.tar)
    names = [name for image in images for name in image.names]
    writer = ferry.popen("save", *names)
    piped(writer, podman.popen("load", stdin=writer.stdout))
    for image in images:
        there = in_podman(podman, image.seen.id)
        assert there.without_tags() == image.seen.without_tags()
        # Of a name without a registry podman 4 says that it is from here.
        assert {tag.removeprefix("localhost/") for tag in there.tags} == image.seen.tags
        podman.run("rmi", "--force", image.seen.id)


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_compressed_pipe(
    compress: str, dockerd: Command, odd_image: Callable[[str], Odd], ferry: Ferry, store: Path
) -> None:
    image = odd_image("ten-tags")
    ferry("load", "-i", image.tar)
    second = Ferry(store.with_name("second"))
    writer = ferry.popen("save", "--compress", compress, *image.names)
    piped(writer, second.popen("load", stdin=writer.stdout))
    assert in_ferry(second, image.seen.id) == image.seen
    if compress == "gzip":
        writer = ferry.popen("save", "--compress", compress, *image.names)
        piped(writer, dockerd.popen("load", stdin=writer.stdout))
        assert in_docker(dockerd, image.seen.id) == image.seen
        dockerd.run("rmi", "--force", image.seen.id)
