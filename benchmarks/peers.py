"""The peers, each on folders of its own, started here and stopped here."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.command import Command
from tests.peers import registry
from tests.peers.dockerd import running_dockerd
from tests.peers.mounts import remove
from tests.peers.registry import Registry

from ferryman.rootfs.syscalls import CLONE_NEWNET, unshare

_ROOT = Path(__file__).resolve().parents[1]
_NEEDED = (
    *("dockerd", "docker", "containerd", "setpriv", "podman", "runc", "skopeo", "openssl"),
    *("conmon", "ip", "iptables", "docker-registry"),
)

_CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_backend = "netavark"
[engine]
runtime = "runc"
"""


class Peers(NamedTuple):
    """ferry and its peers, ready to be asked."""

    folder: Path
    """A folder for whatever else has to be written; it goes with the peers."""
    ferry: Command
    docker: Command
    buildkit: Command
    """A newer docker, whose builder is BuildKit."""
    podman: Command
    skopeo: Command
    registry: Registry


@contextmanager
def running() -> Iterator[Peers]:
    """Start the peers, and stop them and take away all that they wrote when the block ends.

    Raises SystemExit when one is not installed or this is not root.
    """
    ferry = Path(sys.executable).with_name("ferry")
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if not ferry.exists():
        missing.append(f"ferry beside {Path(sys.executable).name} (pip install -e .)")
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    if os.getuid():
        raise SystemExit("docker and podman on folders of their own need root")
    # Not /tmp, which is memory on many machines, unless it is asked for.
    folder = Path(tempfile.mkdtemp(prefix="ferry-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    folder = folder.resolve()
    script = _ROOT / "scripts/make-buildkit"
    newer = Path(
        subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout[:-1]
    )
    try:
        env = _containers_env(folder)
        (folder / "docker").mkdir()
        _own_network()
        with (
            running_dockerd(folder / "docker", folder / "home", network=True) as docker,
            _buildkit(folder, newer) as buildkit,
            registry.running(folder / "registry") as at,
        ):
            driver = docker.text("info", "--format", "{{.Driver}}")
            yield Peers(
                folder,
                # Without the byte code that every installed ferry has, its start takes longer.
                Command((str(ferry),), {"PYTHONDONTWRITEBYTECODE": ""}),
                docker,
                buildkit,
                _podman(folder / "podman", "vfs" if driver == "vfs" else "overlay", env),
                Command(
                    (
                        *("skopeo", "--policy", f"{folder}/home/.config/containers/policy.json"),
                        *("--tmpdir", str(folder / "tmp"), "copy", "--quiet"),
                    ),
                    env,
                ),
                at,
            )
    finally:
        remove(folder)


@contextmanager
def _buildkit(folder: Path, root: Path) -> Iterator[Command]:
    """Start the newer docker, with a network namespace and settings of its own."""
    (folder / "buildkit").mkdir()
    home = folder / "buildkit-home"
    (home / ".docker").mkdir(parents=True)
    plugins = {"cliPluginsExtraDirs": [str(root / "usr/libexec/docker/cli-plugins")]}
    (home / ".docker/config.json").write_text(json.dumps(plugins))
    with running_dockerd(folder / "buildkit", home, apart=True, root=root) as client:
        yield client


def _own_network() -> None:
    """Leave the network of the machine: what engines do to bridges and firewall is not its own."""
    unshare(CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _containers_env(folder: Path) -> dict[str, str]:
    """Return what keeps podman and skopeo away from the machine's own settings and folders."""
    policy = folder / "home/.config/containers/policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (folder / "containers.conf").write_text(_CONTAINERS_CONF)
    (folder / "tmp").mkdir()
    return {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
    }


def _podman(folder: Path, driver: str, env: dict[str, str]) -> Command:
    return Command(
        (
            *("podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")),
            *("--tmpdir", str(folder / "tmp"), "--network-config-dir", str(folder / "net")),
            *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
            *("--storage-driver", driver),
        ),
        env,
    )


def without_images(docker: Command) -> None:
    """Remove every container and image that docker has, those in between of a build included.

    Raises RuntimeError when one stays.
    """
    if containers := docker.text("ps", "--all", "--quiet").split():
        docker.run("rm", "--force", *containers)
    before: set[str] = set()
    while images := set(docker.text("images", "--all", "--quiet").split()):
        if images == before:
            raise RuntimeError(f"docker does not remove {', '.join(sorted(images))}")
        # An image goes only after those that were built on it; the next turn takes it.
        docker.run("rmi", "--force", *sorted(images), check=False)
        before = images
