"""Other machines: network namespaces, each with a real sshd and the engines that a test gives it.

They share this machine's files and kernel, and nothing of its network: all are on one bridge, with
the namespace that commands are sent from.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.ordinary import User
from tests.peers.dockerd import running_dockerd

_NET = "10.231.7"
_SYSTEM = "/usr/bin:/usr/sbin:/bin:/sbin"
# What every machine has; engines, compressors and Python are a test's to give.
_PLAIN = (
    "sh", "bash", "awk", "cat", "chmod", "cp", "cut", "date", "dd", "df", "du", "echo", "env",
    "false", "find", "grep", "gzip", "head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "printf",
    "readlink", "rm", "rmdir", "sed", "sleep", "sort", "stat", "tail", "tar", "test", "touch",
    "tr", "true", "uname", "wc", "which", "xargs",
)  # fmt: skip
_SSHD = """
Port 22
ListenAddress {address}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/user_key.pub
PermitRootLogin yes
PasswordAuthentication no
StrictModes no
UsePAM no
MaxStartups 100
MaxSessions 100
PrintMotd no
Subsystem sftp internal-sftp
Banner {folder}/banner
SetEnv HOME={folder}/home PATH={folder}/bin {more}
"""


class Host(NamedTuple):
    """A machine that ssh reaches by its name."""

    name: str
    folder: Path
    namespace: str
    network: "Network"
    address: str
    user: User | None = None
    """Who logs in there, if not root."""

    @property
    def within(self) -> tuple[str, ...]:
        """What brings a command to this machine's network."""
        return ("nsenter", f"--net=/run/netns/{self.namespace}", "--")

    def give(self, *programs: str) -> None:
        """Let it have programs of this machine."""
        for program in programs:
            found = shutil.which(program, path=_SYSTEM)
            if found is None:
                pytest.skip(f"{program} is not installed")
            (self.folder / "bin" / program).symlink_to(found)

    def script(self, name: str, text: str) -> None:
        """Let it have a program that is a script."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, script: str) -> str:
        """Run a script there, not by ssh, and return what it says."""
        env = {"PATH": f"{self.folder}/bin", "HOME": "/root"}
        done = subprocess.run(
            [*self.within, "/bin/sh", "-c", script], env=env, check=True, stdout=subprocess.PIPE
        )
        return done.stdout.decode().strip()

    def ssh(self, *words: str) -> Command:
        """Return a command that is run there, by ssh; a shell reads its words."""
        return self.network.command("ssh", "-F", str(self.network.config), self.name, *words)

    def run_apart(self, *words: str) -> None:
        """Run a program of this machine on its network."""
        subprocess.run([*self.within, *words], check=True)

    def wire(self) -> int:
        """Return how many bytes have come to it and gone from it, as its kernel counts them."""
        return _counted(self.namespace, "eth0")

    def cut(self) -> None:
        """Cut its line."""
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "eth0", "down"], check=True)

    def mend(self) -> None:
        """Mend its line, and wait until it is reached."""
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "eth0", "up"], check=True)
        _until_answered(self)

    def forward_nothing(self) -> None:
        """Let its sshd carry no ports."""
        with (self.folder / "sshd_config").open("a") as f:
            f.write("AllowTcpForwarding no\n")
        os.kill(int((self.folder / "sshd.pid").read_text()), signal.SIGHUP)
        _until_answered(self)

    def stop_sshd(self) -> None:
        """Kill its sshd, with all sessions."""
        for pid in map(int, (self.folder / "sshd.pid").read_text().split()):
            subprocess.run(["pkill", "-KILL", "-P", str(pid)], check=False)
            os.kill(pid, signal.SIGKILL)


class Network(NamedTuple):
    """Where hosts are, and where commands to them come from."""

    folder: Path
    namespace: str

    @property
    def config(self) -> Path:
        """The config of ssh that knows all hosts."""
        return self.folder / "ssh_config"

    def wire(self) -> int:
        """Return how many bytes have come to those who send commands, and gone from them."""
        return _counted(self.namespace, "br0")

    def ferry(self, root: Path) -> "Sender":
        """Return ``ferry`` as it is started here."""
        return Sender(root, self)

    def command(self, *words: str, env: Mapping[str, str] | None = None) -> Command:
        """Return a command that is started here."""
        own = {"FERRY_SSH_COMMAND": f"ssh -F {self.config}", **(env or {})}
        return Command(("nsenter", f"--net=/run/netns/{self.namespace}", "--", *words), own)


class Sender(Ferry):
    """``ferry`` on the network that the hosts are on."""

    def __init__(self, root: Path, network: Network) -> None:
        super().__init__(root)
        self.network = network

    def at(self, root: Path | None) -> Command:
        return self.network.command(*super().at(root).argv)


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    """Give a network; skip the test where there can be none."""
    for program in ("ip", "nsenter", "ssh", "ssh-keygen", "/usr/sbin/sshd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.getuid():
        pytest.skip("network namespaces need root")
    # A worker may come back to a module of tests, whose first network is gone.
    if folder.exists() and os.listdir(folder):
        folder = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    # Of all that run at once, each has names of its own.
    made = Network(folder, f"ferry-{os.getpid()}-{folder.name}"[:40])
    folder.mkdir(exist_ok=True)
    made.config.touch()
    _ip("netns", "add", made.namespace)
    try:
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "add", "br0", "type", "bridge"),
            ("link", "set", "br0", "up"),
            ("address", "add", f"{_NET}.1/24", "dev", "br0"),
        ):
            _ip("-n", made.namespace, *words)
        yield made
    finally:
        _ip("netns", "del", made.namespace)


@contextmanager
def host(
    network: Network, name: str, number: int, *, user: User | None = None, **environment: str
) -> Iterator[Host]:
    """Give a host without any engine; `number` from 2 on is its own.

    A `user` who logs in there, and not root, must be able to reach the network's folder.
    """
    folder = network.folder / name
    (folder / "bin").mkdir(parents=True)
    (folder / "home").mkdir()
    address = f"{_NET}.{number}"
    made = Host(name, folder, f"{network.namespace}-{name}", network, address, user)
    for program in _PLAIN:
        made.give(program)
    for key in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True
        )
    (folder / "banner").write_text("Authorized use only.\n")
    if user:
        (folder / "cache").mkdir()
        for theirs in ("home", "cache"):
            shutil.chown(folder / theirs, user.name, user.name)
    environment = {"XDG_CACHE_HOME": f"{folder}/cache", **environment}
    more = " ".join(f"{key}={value}" for key, value in environment.items())
    config = _SSHD.format(address=address, folder=folder, more=more)
    (folder / "sshd_config").write_text(config)
    with network.config.open("a") as f:
        f.write(
            f"Host {name}\n HostName {address}\n User {user.name if user else 'root'}\n"
            f" IdentityFile {folder}/user_key\n"
            f" UserKnownHostsFile {folder}/known_hosts\n StrictHostKeyChecking yes\n"
            " IdentitiesOnly yes\n"
        )
    key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"{address} {key}")
    _ip("netns", "add", made.namespace)
    try:
        port = f"p{number}"
        for words in (
            ("-n", network.namespace, "link", "add", port, "type", "veth", "peer", "name", "eth0",
             "netns", made.namespace),
            ("-n", network.namespace, "link", "set", port, "master", "br0", "up"),
            ("-n", made.namespace, "link", "set", "lo", "up"),
            ("-n", made.namespace, "address", "add", f"{address}/24", "dev", "eth0"),
            ("-n", made.namespace, "link", "set", "eth0", "up"),
        ):  # fmt: skip
            _ip(*words)
        with sshd(made):
            yield made
    finally:
        _ip("netns", "del", made.namespace)


@contextmanager
def sshd(made: Host) -> Iterator[None]:
    """Run a host's sshd."""
    Path("/run/sshd").mkdir(exist_ok=True)
    log = (made.folder / "sshd.log").open("ab")
    view = made.user.view() if made.user else ()
    process = subprocess.Popen(
        [*made.within, *view, "/usr/sbin/sshd", "-D", "-e", "-f", made.folder / "sshd_config"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        _until_answered(made)
        yield
    finally:
        subprocess.run(["pkill", "-TERM", "-P", str(process.pid)], check=False)
        process.terminate()
        process.wait()
        log.close()


def _until_answered(made: Host) -> None:
    deadline = time.monotonic() + 20
    while made.ssh("true").run(check=False).returncode:
        if time.monotonic() > deadline:
            log = (made.folder / "sshd.log").read_text(errors="replace")
            raise RuntimeError(f"sshd does not answer:\n{log[-2000:]}")
        time.sleep(0.05)


@contextmanager
def with_docker(
    made: Host,
    folder: Path,
    root: Path | None = None,
    containerd: bool = False,
    insecure: tuple[str, ...] = (),
) -> Iterator[Command]:
    """Give a host a docker of its own; `folder` is short, since sockets are made in it."""
    (folder / "home").mkdir(parents=True)
    with running_dockerd(
        folder,
        folder / "home",
        within=made.within,
        root=root,
        containerd=containerd,
        insecure=insecure,
    ) as client:
        program = shutil.which(client.argv[0], path="/usr/bin") or client.argv[0]
        if made.user:  # who may not look where a newer one is kept
            program = shutil.copy(program, str(made.folder / "docker"))
        made.script("docker", f'DOCKER_HOST={client.env["DOCKER_HOST"]} exec {program} "$@"')
        yield client


@contextmanager
def with_rootless_docker(made: Host) -> Iterator[str]:
    """Give a host's user a docker of their own, as docker's own script sets it up; give where."""
    script = Path("/usr/share/docker.io/contrib/dockerd-rootless.sh")
    if not script.exists():
        pytest.skip(f"{script} is not installed")
    assert made.user
    home, runtime = made.folder / "home", made.folder / "run"
    runtime.mkdir(mode=0o700)
    shutil.chown(runtime, made.user.name, made.user.name)
    address = f"unix://{runtime}/docker.sock"
    command = made.user.command(
        *(
            "env",
            f"HOME={home}",
            f"XDG_RUNTIME_DIR={runtime}",
            f"PATH={_SYSTEM}",
            "sh",
            str(script),
        ),
        *("--bridge=none", "--iptables=false", "--exec-opt=native.cgroupdriver=cgroupfs"),
    )
    with (made.folder / "docker.log").open("wb") as log:
        process = subprocess.Popen([*made.within, *command.argv], stdout=log, stderr=log)
    client = Command(("docker",), {"DOCKER_HOST": address, "HOME": str(made.folder)})
    try:
        deadline = time.monotonic() + 30
        while client.run("version", check=False).returncode:
            if time.monotonic() > deadline or process.poll() is not None:
                said = (made.folder / "docker.log").read_text(errors="replace")
                raise RuntimeError(f"rootless docker does not start:\n{said[-2000:]}")
            time.sleep(0.1)
        made.give("docker")
        yield address
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def with_registry(made: Host, folder: Path) -> Iterator[str]:
    """Run a registry on a host, for all who reach that; give its address."""
    folder.mkdir()
    address = f"{made.address}:5000"
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*made.within, "docker-registry", "serve", folder / "config.yml"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        asked = ("curl", "-sf", "--retry", "50", "--retry-connrefused", "--retry-delay", "1")
        made.network.command(*asked, f"http://{address}/v2/").run()
        yield address
    finally:
        process.terminate()
        process.wait(30)


def with_ferry(made: Host, root: Path, **environment: str) -> Ferry:
    """Give a host a ferry, with a store of its own."""
    env = " ".join(f"{key}={value}" for key, value in environment.items())
    made.script("ferry", f'{env} exec {sys.executable} -m ferryman --root {root} "$@"')
    return Ferry(root)


def with_podman(made: Host, podman: Command) -> None:
    """Give a host a podman."""
    env = " ".join(f"{key}={value}" for key, value in podman.env.items())
    made.script("podman", f'exec env {env} PATH=/usr/bin:/usr/sbin {" ".join(podman.argv)} "$@"')


@contextmanager
def with_containerd(made: Host, folder: Path) -> Iterator[Command]:
    """Give a host a containerd, with ctr."""
    folder.mkdir(parents=True)
    address = folder / "containerd.sock"
    (folder / "config.toml").write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{address}"\n'
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*made.within, "containerd", "--config", folder / "config.toml"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        client = Command(("ctr", "--address", str(address)))
        deadline = time.monotonic() + 30
        while client.run("version", check=False).returncode:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.1)
        made.script("ctr", f'exec /usr/bin/ctr --address {address} "$@"')
        yield client
    finally:
        process.terminate()
        process.wait(30)


def _counted(namespace: str, interface: str) -> int:
    said = subprocess.run(
        ["ip", "-n", namespace, "-s", "-j", "link", "show", interface],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    counted = json.loads(said)[0]["stats64"]
    return int(counted["rx"]["bytes"]) + int(counted["tx"]["bytes"])


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
