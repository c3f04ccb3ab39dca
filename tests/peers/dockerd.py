"""A Docker daemon of our own, beside any that the machine has."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.command import Command

START_SECONDS = 60
STOP_SECONDS = 60

_WITHOUT_NETWORK = (
    *("--bridge", "none", "--iptables=false", "--ip6tables=false"),
    *("--ip-forward=false", "--userland-proxy=false"),
)
_APART = ("unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


class Programs(NamedTuple):
    """Docker's client and daemon."""

    docker: str
    dockerd: str


OURS = Programs("docker", "dockerd")


@contextmanager
def running_dockerd(
    folder: Path,
    home: Path,
    *,
    network: bool = False,
    apart: bool = False,
    within: tuple[str, ...] = (),
    root: Path | None = None,
    containerd: bool = False,
    insecure: tuple[str, ...] = (),
) -> Iterator[Command]:
    """Start dockerd with everything it writes in `folder`, and yield its client.

    With `network` it has a bridge and firewall rules as it always has, of the network namespace
    that this is, or with `apart` of one of its own, or of where the command `within` brings it;
    else no network to give, so build and run need ``--network none`` or ``host``.  `root` is where
    its programs are, with BuildKit for its builder; else they are the machine's.  With `containerd`
    it keeps images there, as docker does from version 29 on.  Registries that are `insecure` it
    asks without TLS.  `folder` is best short: sockets are made in it.  Raises RuntimeError, with
    the end of its log, if it does not start.
    """
    programs = (
        Programs(str(root / "usr/bin/docker"), str(root / "usr/sbin/dockerd")) if root else OURS
    )
    # The client of docker 23 and later wants a plugin for BuildKit; the old builder needs none.
    client = Command(
        (programs.docker,),
        {
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_BUILDKIT": "1" if root else "0",
            "HOME": str(home),
        },
    )
    before = (*within, *(_APART if apart else ()))
    # overlay2 cannot stand on another overlay, as in a container; vfs can stand anywhere.
    drivers = ("overlayfs", "native") if containerd else ("overlay2", "vfs")
    settings: dict[str, object] = {"insecure-registries": insecure} if insecure else {}
    if containerd:
        settings["features"] = {"containerd-snapshotter": True}
    (folder / "daemon.json").write_text(json.dumps(settings))
    try:
        daemon = _start(folder, client, programs, drivers[0], network or apart, before)
    except RuntimeError:
        daemon = _start(folder, client, programs, drivers[1], network or apart, before)
    try:
        yield client
    finally:
        _stop(daemon, folder, client)


def _start(
    folder: Path,
    client: Command,
    programs: Programs,
    driver: str,
    network: bool,
    before: tuple[str, ...],
) -> subprocess.Popen[bytes]:
    namespace = f"ferry-test-{os.getpid()}-{folder.name}"
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            [
                # Should the tests be killed, the daemon stops too.
                *("setpriv", "--pdeathsig", "TERM", "--", *before),
                programs.dockerd,
                *("--config-file", folder / "daemon.json"),
                *("--data-root", folder / "data"),
                *("--exec-root", folder / "exec"),
                *("--pidfile", folder / "pid"),
                *("--host", client.env["DOCKER_HOST"]),
                *("--storage-driver", driver),
                *("--exec-opt", "native.cgroupdriver=cgroupfs"),
                # Where the machine's own containerd runs, dockerd uses that one.
                *("--containerd-namespace", namespace),
                *("--containerd-plugins-namespace", f"{namespace}-plugins"),
                *(() if network else _WITHOUT_NETWORK),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + START_SECONDS
    while daemon.poll() is None and time.monotonic() < deadline:
        if client.run("version", check=False).returncode == 0:
            return daemon
        time.sleep(0.1)
    _end(daemon)
    raise RuntimeError(f"dockerd did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _stop(daemon: subprocess.Popen[bytes], folder: Path, client: Command) -> None:
    """Stop the daemon and what it started; whatever is left is ended by its process ID."""
    if containers := client.run("ps", "-aq", check=False).stdout.decode().split():
        client.run("rm", "-f", *containers, check=False)
    containerd = _containerd(folder)
    _end(daemon)
    if containerd and _is_ours(containerd, folder):
        os.kill(containerd, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while _is_ours(containerd, folder) and time.monotonic() < deadline:
            time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _containerd(folder: Path) -> int | None:
    """Return the process ID of the containerd that the daemon started, if it started one."""
    try:
        return int((folder / "exec/containerd/containerd.pid").read_text())
    except FileNotFoundError:
        return None


def _is_ours(pid: int, folder: Path) -> bool:
    """Tell whether `pid` still is the daemon's containerd: the number may have been given on."""
    try:
        return os.fsencode(folder) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
