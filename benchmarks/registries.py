"""Pull and push, against a real registry on loopback."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.command import Command

from benchmarks.cases import Case, Goal
from benchmarks.images import NAME, Images
from benchmarks.measure import Contender
from benchmarks.peers import Peers
from benchmarks.stores import Ready, empty, loaded

_INSECURE = "--tls-verify=false"


def registry_cases(peers: Peers, images: Images) -> list[Case]:
    """Return the cases about registries; each makes its own ground ready."""
    return [
        _pull(peers, images),
        _push(peers, images, "push", "Push what the registry does not have", forget=True),
        _push(peers, images, "push-again", "Push what the registry has", forget=False),
    ]


def _pull(peers: Peers, images: Images) -> Case:
    stores = empty(peers)
    name = f"{peers.registry.address}/pulled/image:1"

    def ready(clear: Ready) -> Callable[[], None]:
        def prepare() -> None:
            clear()
            if not (_data(peers) / "repositories/pulled").exists():
                archive = f"docker-archive:{images.archive}"
                peers.skopeo.run("--dest-tls-verify=false", archive, f"docker://{name}")

        return prepare

    def contender(engine: str, command: Command) -> Contender:
        return Contender(engine, ((command,),), ready(stores.ready[engine]))

    layout = f"oci:{stores.layout}:{NAME}"
    return Case(
        "pull",
        "Pull from a registry",
        images.archive,
        (
            contender("ferry", stores.ferry.with_flags("pull", name)),
            contender("docker", peers.docker.with_flags("pull", name)),
            contender("podman", peers.podman.with_flags("pull", _INSECURE, name)),
            # It makes sure of the compressed bytes alone, and does not wait for the disk.
            contender(
                "skopeo",
                peers.skopeo.with_flags("--src-tls-verify=false", f"docker://{name}", layout),
            ),
        ),
        Goal(1.0, "docker"),
    )


def _push(peers: Peers, images: Images, key: str, title: str, *, forget: bool) -> Case:
    stores = loaded(peers, images.archive, NAME)

    def contender(engine: str, command: Command, tag: Callable[[str], object]) -> Contender:
        name = _pushed(peers, engine)

        def prepare() -> None:
            stores.ready[engine]()
            tag(name)
            if forget:
                shutil.rmtree(_data(peers), ignore_errors=True)
            elif not (_data(peers) / f"repositories/pushed/{engine}").exists():
                command.run()

        return Contender(engine, ((command,),), prepare)

    def engine(name: str, command: Command, *flags: str) -> Contender:
        def tag(to: str) -> None:
            command.run("tag", NAME, to)

        return contender(name, command.with_flags("push", *flags, _pushed(peers, name)), tag)

    to = f"docker://{_pushed(peers, 'skopeo')}"
    return Case(
        key,
        title,
        images.archive,
        (
            engine("ferry", stores.ferry),
            engine("docker", peers.docker),
            engine("podman", peers.podman, _INSECURE),
            contender(
                "skopeo",
                peers.skopeo.with_flags(
                    "--dest-tls-verify=false", f"oci:{stores.layout}:{NAME}", to
                ),
                lambda name: None,
            ),
        ),
        Goal(1.0, "skopeo") if forget else None,
    )


def _pushed(peers: Peers, engine: str) -> str:
    return f"{peers.registry.address}/pushed/{engine}:1"


def _data(peers: Peers) -> Path:
    """Return where the registry keeps all that it has."""
    return peers.registry.folder / "data/docker/registry/v2"
