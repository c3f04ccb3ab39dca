"""Images at the edges of what docker makes, small ones."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

from tests.command import Command
from tests.peers.engines import Seen, in_docker

DEEPEST_IN_DOCKER = 125
DEEPEST = 127
HISTORY = 200

DOCKERFILES = {
    "history": "COPY 1 /\n" + "".join(f"LABEL step{i}={i}\n" for i in range(HISTORY)),
    "empty-layers": "ENV A=1\nCOPY 1 /\nLABEL b=2\nUSER 3\nCOPY 2 /\nWORKDIR /\nCMD ['true']\n",
    "layer-twice": "COPY 1 /\nCOPY 1 /\nCOPY 2 /\nCOPY 1 /\n",
    "no-tag": "COPY 1 /\nLABEL says='I have no name'\n",
    "ten-tags": "COPY 2 /\nCOPY 1 /\n",
    "non-ascii": 'LABEL "größe"="Fähre" "名前"="渡し船 🛶"\nENV ПАРОМ=łódź\nCOPY 1 /Überfahrt\n',
}
TAGS = {
    "no-tag": [],
    "ten-tags": [
        *("ten:1", "ten:latest", "ten:with.dots_and-dashes", "ferry-odd/ten:3", "deep/er/ten:4"),
        *("localhost/ten:5", "localhost:5000/ten:6", "quay.io/ferry/ten:7"),
        *("registry.example.com:443/a/b/c:8", "10.0.0.1:5000/ten:9"),
    ],
}
IMAGES = [*DOCKERFILES, "deepest"]


class Odd(NamedTuple):
    """What ``docker save`` wrote of an image, and what docker had to say of it."""

    tar: Path
    seen: Seen

    @property
    def names(self) -> list[str]:
        """What to ask docker and ferry for: the tags, or the ID where there is none."""
        return sorted(self.seen.tags) or [self.seen.id]


def make_odd(docker: Command, name: str, folder: Path) -> Odd:
    """Have docker build and save an image, unless it is in the folder already."""
    tar, said = folder / "saved.tar", folder / "said.json"
    if not said.exists():
        image = _built(docker, name, folder / "context")
        tags = TAGS.get(name, [f"ferry-odd/{name}:1"])
        for tag in tags:
            docker.run("tag", image, tag)
        docker.run("save", "--output", tar, *(tags or [image]))
        seen = in_docker(docker, image)
        docker.run("rmi", "--force", image)
        said.write_text(json.dumps([seen.id, seen.layers, sorted(seen.tags)]))
    image_id, layers, tags = json.loads(said.read_text())
    return Odd(tar, Seen(image_id, tuple(layers), frozenset(tags)))


def _built(docker: Command, name: str, context: Path) -> str:
    """Return the ID of the image, which docker has built or, the deepest one, verified."""
    context.mkdir()
    if name == "deepest":
        image_id = write_deep(context / "deep.tar", DEEPEST_IN_DOCKER, "ferry-odd/deepest:1")
        docker.run("load", "--input", context / "deep.tar")
        return image_id
    for number in ("1", "2"):
        (context / number).write_text(number)
    (context / "Dockerfile").write_text("FROM scratch\n" + DOCKERFILES[name])
    return docker.text("build", "--quiet", context)


def write_deep(path: Path, depth: int, tag: str) -> str:
    """Write an archive in docker's old form, of an image with many layers; return the ID."""
    layers = [_one_file(str(i)) for i in range(depth)]
    diff_ids = [hashlib.sha256(layer).hexdigest() for layer in layers]
    created = "2024-02-29T12:00:00Z"
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": created,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{each}" for each in diff_ids]},
            "history": [{"created": created, "created_by": f"ADD {i}"} for i in range(depth)],
        }
    ).encode()
    image_id = hashlib.sha256(config).hexdigest()
    names = [f"{each}/layer.tar" for each in diff_ids]
    manifest = [{"Config": f"{image_id}.json", "RepoTags": [tag], "Layers": names}]
    with tarfile.open(path, "w") as archive:
        _add(archive, f"{image_id}.json", config)
        for name, layer in zip(names, layers, strict=True):
            _add(archive, name, layer)
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    return f"sha256:{image_id}"


def _one_file(name: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        _add(layer, name, name.encode())
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
