"""The state in which each engine's store is before it is timed; making it so is not timed."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.command import Command

from benchmarks.peers import Peers, without_images

Ready = Callable[[], object]


class Stores(NamedTuple):
    """Where ferry and skopeo keep images, and what brings each engine into the state."""

    ferry: Command
    layout: Path
    """The folder of the OCI image layout that skopeo, which has no store, writes and reads."""
    ready: dict[str, Ready]
    """By the name of the engine."""


def empty(peers: Peers) -> Stores:
    """Return stores with nothing in them."""
    store, layout = peers.folder / "store", peers.folder / "layout"
    return Stores(
        peers.ferry.with_flags("--root", str(store)),
        layout,
        {
            "ferry": partial(shutil.rmtree, store, ignore_errors=True),
            "docker": partial(without_images, peers.docker),
            "podman": _without_podman_images(peers),
            "skopeo": partial(shutil.rmtree, layout, ignore_errors=True),
        },
    )


def loaded(peers: Peers, archive: Path, name: str) -> Stores:
    """Return stores that hold the images of an archive, `name` among them, and no others."""
    folder = peers.folder / f"with-{archive.stem}"
    ferry = peers.ferry.with_flags("--root", str(folder / "store"))
    layout = folder / "layout"

    def load(engine: Command, clear: Ready) -> None:
        if engine.run("image", "inspect", name, check=False).returncode:
            clear()
            engine.run("load", "--input", archive)

    def copy() -> None:
        if not layout.exists():
            folder.mkdir(exist_ok=True)
            skopeo_load(peers, archive, name, layout).run()

    return Stores(
        ferry,
        layout,
        {
            "ferry": partial(load, ferry, lambda: None),
            "docker": partial(load, peers.docker, partial(without_images, peers.docker)),
            "podman": partial(load, peers.podman, _without_podman_images(peers)),
            "skopeo": copy,
        },
    )


def skopeo_load(peers: Peers, archive: Path, name: str, layout: Path) -> Command:
    """Return the command that brings an archive of one image into a layout."""
    # Left to itself it would compress, which nobody else here does.
    plain = "--dest-oci-accept-uncompressed-layers"
    return peers.skopeo.with_flags(plain, f"docker-archive:{archive}", f"oci:{layout}:{name}")


def _without_podman_images(peers: Peers) -> Ready:
    return partial(peers.podman.run, "rmi", "--all", "--force")
