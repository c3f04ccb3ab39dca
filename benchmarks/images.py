"""What is loaded, saved and imported: made once, by docker itself."""

import io
import json
import random
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import Peers, without_images

NAME = "ferry-bench/image:1"
MANY = 50

_LAYERS = 4
_FILE = 64 << 10


class Images(NamedTuple):
    """The archives that the benchmarks are about."""

    archive: Path
    """The image as `docker save` writes it."""
    gzipped: Path
    rootfs: Path
    """All files of the image as one tar, from `docker export`."""
    base: Path | None
    """The tar of the base system, if the image stands on it."""
    many: Path
    """An archive of MANY small images."""


def make(peers: Peers, base: Path, size: int) -> Images:
    """Make an image of about `size` bytes: the base system, and four layers of a build on top.

    When it is to be smaller than the base, it stands on nothing, and has a fifth layer instead.
    """
    folder = peers.folder / "images"
    docker = peers.docker
    on_base = base.stat().st_size < size
    context = folder / "context"
    context.mkdir(parents=True)
    steps = ["FROM scratch"]
    layers = _LAYERS + 1
    left = size
    if on_base:
        docker.run("import", base, "ferry-bench/base:1")
        steps = ["FROM ferry-bench/base:1"]
        layers = _LAYERS
        left -= base.stat().st_size
    for i in range(layers):
        _files(context / f"layer{i}", base, left // layers, seed=i)
        steps.append(f"COPY layer{i} /srv/layer{i}")
    (context / "Dockerfile").write_text("\n".join([*steps, 'CMD ["true"]', ""]))
    docker.run("build", "--tag", NAME, context)
    shutil.rmtree(context)
    docker.run("save", "--output", folder / "image.tar", NAME)
    container = docker.text("create", NAME)
    docker.run("export", "--output", folder / "rootfs.tar", container)
    docker.run("rm", container)
    image_id = docker.text("image", "inspect", "--format", "{{.Id}}", NAME)
    without_images(docker)
    _gzip(folder / "image.tar", folder / "image.tar.gz")
    _check_ferry(peers, folder, image_id)
    return Images(
        archive=folder / "image.tar",
        gzipped=folder / "image.tar.gz",
        rootfs=folder / "rootfs.tar",
        base=base if on_base else None,
        many=_many(peers, folder),
    )


def _check_ferry(peers: Peers, folder: Path, image_id: str) -> None:
    """Make sure that what ferry is timed at is right; raises SystemExit."""
    store = folder / "check"
    peers.ferry.run("--root", store, "load", "--input", folder / "image.tar")
    layout = store / "image"
    (target,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = (layout / "blobs" / target["digest"].replace(":", "/")).read_bytes()
    if (loaded := json.loads(manifest)["config"]["digest"]) != image_id:
        raise SystemExit(f"ferry loaded {loaded} where docker saved {image_id}")
    shutil.rmtree(store)


def _files(folder: Path, base: Path, size: int, seed: int) -> None:
    """Fill a folder with pieces of the base system, which compress as real files do."""
    folder.mkdir()
    places = random.Random(seed)
    with base.open("rb") as f:
        for i in range(max(1, size // (_FILE + 1024))):
            f.seek(places.randrange(max(1, base.stat().st_size - _FILE)))
            (folder / f"{i:05}").write_bytes(f.read(_FILE))


def _gzip(source: Path, target: Path) -> None:
    with target.open("wb") as output:
        subprocess.run(["gzip", "-c", source], stdout=output, check=True)


def _many(peers: Peers, folder: Path) -> Path:
    """Return an archive of many small images that all differ."""
    ferry = peers.ferry.with_flags("--root", str(folder / "many"))
    names = [f"ferry-bench/small:{i}" for i in range(MANY)]
    for name in names:
        ferry.run("import", "-", name, input=_small_tar(name.encode()))
    ferry.run("save", "--output", folder / "many.tar", *names)
    shutil.rmtree(folder / "many")
    return folder / "many.tar"


def _small_tar(content: bytes) -> bytes:
    member = tarfile.TarInfo("name")
    member.size = len(content)
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        tar.addfile(member, io.BytesIO(content))
    return output.getvalue()
