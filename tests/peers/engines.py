"""What an engine says of an image: always in the same words, so that two can be compared."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.command import Command
from tests.ferry import Ferry


class Seen(NamedTuple):
    """An image: its ID, the diff IDs of its layers (lowest first), and its names with a tag."""

    id: str
    layers: tuple[str, ...]
    tags: frozenset[str]

    def without_tags(self) -> "Seen":
        return self._replace(tags=frozenset())


def in_docker(docker: Command, image: str) -> Seen:
    return _seen(json.loads(docker.text("image", "inspect", image))[0])


def in_podman(podman: Command, image: str) -> Seen:
    """Return what podman has; its names are in full there, and short here as everywhere."""
    return _seen(json.loads(podman.text("image", "inspect", image))[0])


def in_ferry(ferry: Ferry, image: str) -> Seen:
    return _seen(json.loads(ferry.text("image", "inspect", image))[0])


def in_archive(skopeo: Command, source: str) -> Seen:
    """Return what skopeo reads from ``transport:path:name``, the config hashed here."""
    # Tags in an archive are what skopeo finds an image by; it does not list them.
    content = skopeo.run("inspect", "--config", "--raw", source).stdout
    return Seen(sha256(content), tuple(json.loads(content)["rootfs"]["diff_ids"]), frozenset())


def layer_forms(ferry: Ferry, image: str) -> set[str]:
    """Return how the layers of an image are compressed in the store."""
    (described,) = json.loads(ferry.text("image", "inspect", image))
    manifest = blob(ferry, described["Descriptor"]["digest"])
    kinds = (each["mediaType"] for each in json.loads(manifest)["layers"])
    return {kind.partition("+")[2] or "none" for kind in kinds}


def blob(ferry: Ferry, digest: str) -> bytes:
    return (ferry.root / "image/blobs" / digest.replace(":", "/")).read_bytes()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _seen(described: dict[str, Any]) -> Seen:
    return Seen(
        "sha256:" + described["Id"].removeprefix("sha256:"),
        tuple(described["RootFS"]["Layers"] or ()),
        frozenset(_familiar(tag) for tag in described["RepoTags"] or ()),
    )


def _familiar(tag: str) -> str:
    return tag.removeprefix("docker.io/").removeprefix("library/")


@contextmanager
def gone(docker: Command, *images: str, back: Path) -> Iterator[None]:
    """Take images away from docker, and see to it that they are there again afterwards."""
    docker.run("rmi", "--force", *images)
    try:
        yield
    finally:
        if any(docker.run("inspect", image, check=False).returncode for image in images):
            docker.run("load", "--input", back)
