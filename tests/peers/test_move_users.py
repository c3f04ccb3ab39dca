"""``ferry move`` where an ordinary user logs in: engines of root's by sudo, and the user's own."""

import pwd
import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.command import Command
from tests.ordinary import User, ordinary_user
from tests.peers.conftest import need
from tests.peers.hosts import (
    Host,
    Network,
    Sender,
    host,
    network,
    with_containerd,
    with_docker,
    with_ferry,
    with_podman,
    with_rootless_docker,
)

pytestmark = [pytest.mark.peer, pytest.mark.slow]

LARGE = 4 << 20
IMAGE = "ferry-test/user"


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    need("useradd", "setpriv", "sudo")
    with ordinary_user() as made:
        yield made


@pytest.fixture(scope="module")
def hosts(user: User) -> Iterator[Network]:
    with network(user.folder / "net") as made:
        yield made


@pytest.fixture
def sender(hosts: Network, busybox_tar: Path, tmp_path: Path) -> Sender:
    """A store with an image in three versions: of the last one a layer differs a little."""
    ferry = hosts.ferry(tmp_path / "store")
    ferry("import", "-c", "ENV PATH=/bin", busybox_tar, "base:1")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        'FROM base:1\nCOPY large /large\nCOPY version /\nCMD ["cat", "/version"]\n'
    )
    large = random.Random(1).randbytes(LARGE)
    for version in (1, 2, 3):
        (context / "large").write_bytes(large + b"more" * (version == 3))
        (context / "version").write_text(f"{version}\n")
        ferry("build", "-q", "-t", f"{IMAGE}:{version}", context)
    return ferry


@contextmanager
def sudoer(made: Host, rule: str) -> Iterator[None]:
    """Let a host's user do by sudo what a rule says, as long as the block lasts."""
    assert made.user
    made.give("sudo")
    name = made.user.name
    path = Path("/etc/sudoers.d") / name
    aside = path.with_suffix(".new")  # sudo reads no file with a dot in its name
    aside.write_text(f"Defaults:{name} secure_path={made.folder}/bin\n{name} ALL=(root) {rule}\n")
    aside.chmod(0o440)
    aside.rename(path)
    try:
        yield
    finally:
        path.unlink()


def moved(sender: Sender, made: Host, version: int) -> int:
    """Move a version, and return the bytes on the wire."""
    before = made.wire()
    sender("move", "-q", f"{IMAGE}:{version}", made.name, timeout=60)
    return made.wire() - before


@pytest.mark.parametrize(
    ("more", "newer"),
    [("nothing", False), ("zstd", False), ("python3", False), ("nothing", True)],
    ids=["alone", "with zstd", "with python", "newer"],
)
def test_sudo(
    sender: Sender,
    hosts: Network,
    user: User,
    private: Path,
    newer_docker: Path,
    tmp_path: Path,
    more: str,
    newer: bool,
) -> None:
    """Root's docker takes images, gives them, and says what it has."""
    private.chmod(0o711)
    name = f"{more[0]}{newer:d}"
    root = newer_docker if newer else None
    with (
        host(hosts, name, 2, user=user) as made,
        with_docker(made, private / f"u{name}", root=root) as docker,
        sudoer(made, f"NOPASSWD: {made.folder}/bin/docker"),
    ):
        if more != "nothing":
            made.give(more)
        assert made.ssh("docker", "version").run(check=False).returncode == 1
        assert LARGE < moved(sender, made, 1) < LARGE * 1.2 + 2_000_000
        assert moved(sender, made, 2) < 100_000
        changed = moved(sender, made, 3)
        assert changed < 100_000 if more == "python3" else changed > LARGE
        for version in (1, 2, 3):
            image = f"{IMAGE}:{version}"
            ours = sender.text("inspect", "-f", "{{.Id}}", image)
            assert docker.text("inspect", "-f", "{{.Id}}", image) == ours
        sender("inventory", "--host", made.name, "-o", tmp_path / "site.json")
        assert ours in (tmp_path / "site.json").read_text()
        comes_back(sender, made)
        assert not [path for path in (made.folder / "cache").rglob("*") if path.is_file()]
        docker.run("rmi", "--force", *(f"{IMAGE}:{version}" for version in (1, 2, 3)))


def test_sudo_that_cannot_be_ended(
    sender: Sender, hosts: Network, user: User, private: Path
) -> None:
    """Before 1.9.13 it becomes root wholly, and takes no signals of the user's."""
    private.chmod(0o711)
    with host(hosts, "old", 7, user=user) as made, with_docker(made, private / "uo") as docker:
        program = made.folder / "setpriv"
        shutil.copy("/usr/bin/setpriv", program)
        shutil.chown(program, "root", user.name)
        program.chmod(0o4710)
        made.script("sudo", f'shift; exec {program} --reuid 0 --regid 0 --clear-groups "$@"')
        made.give("python3")
        moved(sender, made, 1)
        assert moved(sender, made, 3) < 100_000
        docker.run("rmi", "--force", f"{IMAGE}:1", f"{IMAGE}:3")


def test_containerd_by_sudo(sender: Sender, hosts: Network, user: User, private: Path) -> None:
    """Root's containerd pulls from here, by the port that the user's ssh carries."""
    need("containerd", "ctr")
    private.chmod(0o711)
    with (
        host(hosts, "ctr", 8, user=user) as made,
        with_containerd(made, private / "uc") as ctr,
        sudoer(made, f"NOPASSWD: {made.folder}/bin/ctr"),
    ):
        assert LARGE < moved(sender, made, 1) < LARGE * 1.2 + 2_000_000
        assert moved(sender, made, 2) < 100_000
        listed = ctr.text("-n", "default", "images", "ls", "-q").splitlines()
        assert listed == [f"docker.io/{IMAGE}:{version}" for version in (1, 2)]
        line = failed(sender, "move", f"{IMAGE}:1", "--from", made.name)
        assert line == "Error: ctr: ctr does not save what is to be loaded elsewhere"


def failed(sender: Sender, *words: str) -> str:
    """Return the one line in which a command says why it fails, which it does soon."""
    done = sender(*words, check=False, timeout=30)
    assert done.returncode == 1
    assert not done.stdout
    (line,) = done.stderr.decode().splitlines()
    return line


@pytest.mark.parametrize("rule", [None, "ALL"], ids=["no sudo", "with a password"])
def test_no_way_to_docker(
    sender: Sender, hosts: Network, user: User, private: Path, tmp_path: Path, rule: str | None
) -> None:
    """It is said in docker's words, nothing waits for a password, and Python is no way around."""
    private.chmod(0o711)
    name = f"shut{bool(rule):d}"
    with ExitStack() as stack:
        made = stack.enter_context(host(hosts, name, 3, user=user))
        stack.enter_context(with_docker(made, private / f"s{bool(rule):d}"))
        if rule:
            stack.enter_context(sudoer(made, rule))
        made.give("python3")
        image = f"{IMAGE}:1"
        for words in (
            ("move", image, name),
            ("move", "--via", "docker", image, name),
            ("move", image, "--from", name),
            ("inventory", "--host", name),
            ("copy", f"ssh://{name}/{image}", f"oci:{tmp_path}/copied"),
        ):
            line = failed(sender, *words)
            assert f"{name}: docker cannot be used there, nor by sudo -n: " in line
            assert "permission denied" in line
        # Another engine, the user's own, is one.
        with_ferry(made, made.folder / "home/store")
        sender("move", "-q", image, name, timeout=30)
        assert image in made.ssh("ferry", "images", "--format", "{{.Repository}}:{{.Tag}}").text()


def comes_back(sender: Sender, made: Host) -> None:
    """See that an image comes from there as it went."""
    image = f"{IMAGE}:3"
    ours = sender.text("inspect", "-f", "{{.Id}}", image)
    sender("rmi", image)
    sender("move", image, "--from", made.name, timeout=60)
    assert sender.text("inspect", "-f", "{{.Id}}", image) == ours


def runs(sender: Sender, made: Host, engine: str) -> None:
    """See that the versions have the IDs there that they have here, and run the last one."""
    for version in (1, 2, 3):
        image = f"{IMAGE}:{version}"
        ours = sender.text("inspect", "-f", "{{.Id}}", image).removeprefix("sha256:")
        there = made.ssh(engine, "inspect", "--format", "{{.Id}}", image).text()
        assert there.removeprefix("sha256:") == ours
    flags = ("run", "--rm", "--network", "none", f"{IMAGE}:3")
    assert made.ssh(engine, *flags).text() == "3"


@pytest.mark.parametrize("python", [False, True], ids=["alone", "with python"])
def test_ferry_of_a_user(sender: Sender, hosts: Network, user: User, python: bool) -> None:
    need("newuidmap", "conmon", "crun")
    with host(hosts, f"ferry{python:d}", 4, user=user) as made:
        if python:
            made.give("python3")
        root = made.folder / "home/.local/share/ferry"
        with_ferry(made, root, PATH="/usr/bin:/usr/sbin:/bin")
        assert LARGE < moved(sender, made, 1) < LARGE * 1.2 + 2_000_000
        assert moved(sender, made, 2) < 100_000
        changed = moved(sender, made, 3)
        assert changed < 100_000 if python else changed > LARGE
        runs(sender, made, "ferry")
        assert root.owner() == user.name
        comes_back(sender, made)


def test_podman_of_a_user(sender: Sender, hosts: Network, user: User) -> None:
    need("podman", "runc", "conmon", "newuidmap")
    settings = user.folder / "containers.conf"
    settings.write_text(
        """
        [containers]
        default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
        [engine]
        runtime = "runc"
        cgroup_manager = "cgroupfs"
        events_logger = "none"
        """
    )
    # Where a login sets no XDG_RUNTIME_DIR, it makes do with a folder there.
    runtime = f"/tmp/podman-run-{pwd.getpwnam(user.name).pw_uid}"
    with ExitStack() as stack:
        made = stack.enter_context(host(hosts, "rootless", 5, user=user))
        stack.callback(shutil.rmtree, runtime)
        home = made.folder / "home"
        with_podman(made, Command(("podman",), {"CONTAINERS_CONF": str(settings)}))
        policy = home / ".config/containers/policy.json"
        made.ssh("mkdir", "-p", str(policy.parent)).run()
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        assert LARGE < moved(sender, made, 1) < LARGE * 1.2 + 2_000_000
        assert moved(sender, made, 2) < 100_000
        assert moved(sender, made, 3) > LARGE
        runs(sender, made, "podman")
        assert (home / ".local/share/containers/storage").owner() == user.name
        line = failed(sender, "inventory", "--host", made.name)
        assert line.endswith("podman takes no archive that lacks layers")
        comes_back(sender, made)


def test_docker_of_a_user(sender: Sender, hosts: Network, user: User) -> None:
    """It is found as docker's client finds it: by a context, whatever a login lacks."""
    need("dockerd", "rootlesskit", "slirp4netns", "newuidmap")
    with host(hosts, "own", 6, user=user) as made, with_rootless_docker(made) as address:
        line = failed(sender, "move", f"{IMAGE}:1", made.name)
        assert "own: docker cannot be used there, nor by sudo -n: Cannot connect" in line
        made.ssh("docker", "context", "create", "mine", "--docker", f"host={address}").run()
        made.ssh("docker", "context", "use", "mine").run()
        made.give("python3")
        assert LARGE < moved(sender, made, 1) < LARGE * 1.2 + 2_000_000
        assert moved(sender, made, 2) < 100_000
        assert moved(sender, made, 3) < 100_000
        runs(sender, made, "docker")
        comes_back(sender, made)
