"""Real docker, podman, buildah, skopeo and umoci, each on private folders, one a test process."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.command import Command
from tests.conftest import SCRIPTS
from tests.peers.dockerd import running_dockerd
from tests.peers.mounts import remove
from tests.peers.odd import Odd, make_odd

LAYERED = "ferry-test/layered:1"
LAYERED_CONTEXT = Path(__file__).parent / "layered"


def need(*programs: str) -> None:
    """Skip what needs these programs, or root, where they are not to be had."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.getuid() != 0:
        pytest.skip(f"{programs[0]} on folders of its own needs root")


@pytest.fixture(scope="session")
def private() -> Iterator[Path]:
    """A folder for the peers of this process: short, since sockets are made in it."""
    folder = Path(tempfile.mkdtemp(prefix="ferry-")).resolve()
    yield folder
    remove(folder)


@pytest.fixture(scope="session")
def peer_home(private: Path) -> Path:
    """A home without anybody's settings, but with the signature policy that accepts all.

    podman, buildah and skopeo look there before /etc, where the file may be missing.
    """
    policy = private / "home/.config/containers/policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    return private / "home"


@pytest.fixture(scope="session")
def peer_env(private: Path, peer_home: Path) -> dict[str, str]:
    """What keeps the containers tools away from the machine's own settings and folders."""
    (private / "tmp").mkdir()
    # podman asks for more than a machine may grant, even to root; and crun, which it prefers,
    # refuses machines with both kinds of cgroups, where runc starts.
    settings = """
        [containers]
        default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
        [engine]
        runtime = "runc"
    """
    (private / "containers.conf").write_text(settings)
    return {
        "HOME": str(peer_home),
        "TMPDIR": str(private / "tmp"),
        "CONTAINERS_CONF": str(private / "containers.conf"),
    }


@pytest.fixture(scope="session")
def dockerd(private: Path, peer_home: Path) -> Iterator[Command]:
    """The client of a Docker daemon that runs as long as the tests do."""
    need("dockerd", "docker", "containerd", "setpriv")
    folder = private / "docker"
    folder.mkdir()
    with running_dockerd(folder, peer_home) as client:
        yield client


@pytest.fixture(scope="session")
def newer_docker() -> Path:
    """A folder with the programs of a newer Docker, which builds with BuildKit."""
    need("dpkg", "containerd", "runc", "setpriv")
    made = subprocess.run([SCRIPTS / "make-buildkit"], stdout=subprocess.PIPE, check=True)
    return Path(made.stdout.decode().strip())


@pytest.fixture(scope="session")
def buildkit(private: Path, newer_docker: Path) -> Iterator[Command]:
    """The client of a newer Docker daemon, which builds with BuildKit."""
    folder, home = private / "buildkit", private / "buildkit-home"
    folder.mkdir()
    (home / ".docker").mkdir(parents=True)
    plugins = {"cliPluginsExtraDirs": [str(newer_docker / "usr/libexec/docker/cli-plugins")]}
    (home / ".docker/config.json").write_text(json.dumps(plugins))
    with running_dockerd(folder, home, root=newer_docker) as client:
        yield client


@pytest.fixture(scope="session")
def docker_in_containerd(private: Path, peer_home: Path, newer_docker: Path) -> Iterator[Command]:
    """The client of a newer Docker daemon that keeps its images in containerd."""
    folder = private / "snap"
    folder.mkdir()
    with running_dockerd(folder, peer_home, root=newer_docker, containerd=True) as client:
        yield client


@pytest.fixture(scope="session")
def new_client(dockerd: Command) -> bool:
    """Tell whether docker's client is of version 28 or later, whose words ferry follows."""
    version = dockerd.text("version", "--format", "{{.Client.Version}}")
    return int(version.partition(".")[0]) >= 28


@pytest.fixture(scope="session")
def podman(private: Path, peer_env: dict[str, str]) -> Iterator[Command]:
    need("podman", "runc")
    folder = private / "podman"
    command = Command(
        (
            "podman",
            *("--root", str(folder / "root"), "--runroot", str(folder / "run")),
            *("--tmpdir", str(folder / "tmp"), "--network-config-dir", str(folder / "net")),
            *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
            *("--storage-driver", storage_driver(private / "podman-probe", peer_env)),
        ),
        peer_env,
    )
    yield command
    command.run("rm", "--all", "--force", check=False)


@pytest.fixture(scope="session")
def buildah(private: Path, peer_env: dict[str, str]) -> Command:
    need("buildah")
    folder = private / "buildah"
    return Command(
        (
            "buildah",
            *("--root", str(folder / "root"), "--runroot", str(folder / "run")),
            *("--storage-driver", storage_driver(private / "buildah-probe", peer_env)),
        ),
        peer_env,
    )


@pytest.fixture(scope="session")
def skopeo(peer_env: dict[str, str]) -> Command:
    need("skopeo")
    policy = Path(peer_env["HOME"]) / ".config/containers/policy.json"
    return Command(("skopeo", "--policy", str(policy), "--tmpdir", peer_env["TMPDIR"]), peer_env)


@pytest.fixture(scope="session")
def umoci(peer_env: dict[str, str]) -> Command:
    need("umoci")
    return Command(("umoci",), peer_env)


def storage_driver(folder: Path, env: dict[str, str]) -> str:
    """Return overlay, or vfs where overlay cannot be mounted, as on another overlay."""
    layers = {name: folder / name for name in ("lower", "upper", "work", "merged")}
    for layer in layers.values():
        layer.mkdir(parents=True)
    options = ",".join(f"{name}dir={layers[name]}" for name in ("lower", "upper", "work"))
    mount = Command(("mount", "-t", "overlay", "overlay", "-o", options), env)
    works = mount.run(layers["merged"], check=False).returncode == 0
    remove(folder)
    return "overlay" if works else "vfs"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of one test run have in common."""
    folder = tmp_path_factory.getbasetemp()
    return folder if worker_id == "master" else folder.parent


@pytest.fixture(scope="session")
def layered_tar(dockerd: Command, base_tar: Path, shared: Path) -> Path:
    """What ``docker save`` writes of the layered image; made by the first process that asks."""
    tar = shared / "layered.tar"
    with (shared / "layered.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tar.exists():
            dockerd.run("import", base_tar, "ferry-test/base:1")
            dockerd.run("build", "--network=none", "-t", LAYERED, LAYERED_CONTEXT)
            unfinished = tar.with_suffix(".part")
            dockerd.run("save", "-o", unfinished, LAYERED)
            unfinished.rename(tar)
    return tar


@pytest.fixture(scope="session")
def layered_image(dockerd: Command, layered_tar: Path) -> str:
    """The debootstrapped system with five layers on top, built by docker and in this daemon."""
    if dockerd.run("image", "inspect", LAYERED, check=False).returncode:
        dockerd.run("load", "-i", layered_tar)
    return LAYERED


@pytest.fixture(scope="session")
def odd_image(dockerd: Command, shared: Path) -> Callable[[str], Odd]:
    """Gives one of the odd images by its name; made by the first process that asks."""

    @cache
    def made(name: str) -> Odd:
        folder = shared / "odd" / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return make_odd(dockerd, name, folder)

    return made
