"""Containers of an ordinary user, with subordinate IDs and nothing else."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferryman.runtime import pasta
from tests.conftest import BOX
from tests.containers.test_life import RUN, said, state, until
from tests.ordinary import OrdinaryFerry, User, ordinary_user
from tests.terminal import Terminal

_PROGRAMS = (
    "conmon",
    "runc",
    "crun",
    "busybox",
    "newuidmap",
    "pasta",
    "useradd",
    "pkill",
    "setpriv",
)
_RESTRICTED = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
WEB = ("sh", "-c", "mkdir -p /w; echo hello > /w/index.html; exec httpd -f -p 8000 -h /w")


@pytest.fixture(scope="session")
def user() -> Iterator[User]:
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.getuid():
        pytest.skip("making a user needs root")
    if _RESTRICTED.exists() and _RESTRICTED.read_text().strip() != "0":
        pytest.skip(f"AppArmor leaves user namespaces no powers: {_RESTRICTED}")
    with ordinary_user() as made:
        yield made


@pytest.fixture(scope="session")
def tree_tar(busybox_tar: Path, user: User) -> Path:
    """busybox, and files of several owners and modes; where the user can read it."""
    tar = user.folder / "box.tar"
    shutil.copy(busybox_tar, tar)
    with tarfile.open(tar, "a") as archive:
        for name, owner, mode in (
            ("home/ann", (1000, 1001), 0o700),
            ("var", (0, 50), 0o2775),
            ("setuid", (0, 0), 0o4755),
            ("last", (65535, 65535), 0o640),
            ("last", (65536, 65536), 0o640),
        ):
            member = tarfile.TarInfo(f"./{name}")
            member.type = tarfile.DIRTYPE if "/" in name or name == "var" else tarfile.REGTYPE
            member.uid, member.gid = owner
            member.mode = mode
            archive.addfile(member)
    tar.chmod(0o644)
    return tar


@pytest.fixture
def mine(user: User, tree_tar: Path) -> Iterator[OrdinaryFerry]:
    """The store of an ordinary user with the image ``box:1``, gone after the test."""
    root = user.home / ".local/share/ferry"
    ferry = OrdinaryFerry(user, root)
    ferry("import", "--change", 'CMD ["sh"]', "--change", "ENV PATH=/bin", tree_tar, BOX)
    try:
        yield ferry
    finally:
        if left := ferry.text("ps", "--all", "--quiet").split():
            ferry("rm", "--force", "--volumes", *left)
        until(lambda: not user.processes())
        shutil.rmtree(root)


def entries(tar: bytes) -> dict[str, tuple[object, ...]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {
            member.name: (
                *(member.type, member.mode, member.uid, member.gid, member.size, member.linkname),
                0 if member.isdir() else member.mtime,
            )
            for member in archive
        }


def fetched(port: int, host: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
        return str(answer.read().decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_their_own_store(mine: OrdinaryFerry) -> None:
    ferry = mine.user.command(*mine.at(None).argv[-5:-2])
    assert ferry.text("images", "--format", "{{.Repository}}:{{.Tag}}") == BOX


def test_images_move(mine: OrdinaryFerry) -> None:
    saved = mine("save", BOX).stdout
    other = mine.user.home / "other"
    mine("load", input=saved, root=other)
    ids = {mine.text("inspect", "-f", "{{.Id}}", BOX, root=root) for root in (None, other)}
    assert len(ids) == 1
    assert mine.text(*RUN, "--rm", BOX, "echo", "runs", root=other) == "runs"
    shutil.rmtree(other)
    assert entries(mine("image", "export", BOX).stdout)["setuid"][1:4] == (0o4755, 0, 0)
    assert mine.text("image", "diff", BOX, BOX) == ""


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_runtimes(mine: OrdinaryFerry, runtime: str) -> None:
    mine(*RUN, "-d", "--name", "busy", "--runtime", runtime, BOX, "sleep", "1000")
    assert mine.text("exec", "busy", "id", "-u") == "0"
    mine("rm", "-f", "busy")
    assert not mine.text("ps", "-aq")


def test_owners_are_the_images(mine: OrdinaryFerry, tree_tar: Path) -> None:
    mine("create", "--name", "still", BOX)
    exported = entries(mine("export", "still").stdout)
    for name, entry in entries(tree_tar.read_bytes()).items():
        if name != ".":
            assert exported[name.removeprefix("./")] == entry
    names = ("/setuid", "/last", "/home/ann", "/etc/notes")
    seen = mine.text(*RUN, "--rm", BOX, "stat", "-c", "%a %u %g", *names).splitlines()
    assert seen == ["4755 0 0", "640 65536 65536", "700 1000 1001", "644 0 0"]


def test_exit_codes(mine: OrdinaryFerry) -> None:
    done = mine(*RUN, BOX, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)
    assert "executable file not found" in said(mine, *RUN, "--rm", BOX, "nosuch", code=127)
    assert "permission denied" in said(mine, *RUN, "--rm", BOX, "/etc/notes", code=126)


def test_users_inside(mine: OrdinaryFerry) -> None:
    script = "id -u; id -G; touch /home/ann/x; stat -c %u:%g /home/ann/x; echo $KEPT $HOME"
    flags = ("--rm", "-u", "ann", "-e", "KEPT=1")
    lines = mine.text(*RUN, *flags, BOX, "sh", "-c", script).splitlines()
    assert lines == ["1000", "1001 50", "1000:1001", "1 /home/ann"]
    assert mine.text(*RUN, "--rm", "--user", "65534", BOX, "id", "-u") == "65534"
    powers = mine.text(*RUN, "--rm", BOX, "grep", "CapEff", "/proc/self/status")
    assert powers.split()[1] == "00000000a80425fb"
    assert said(mine, *RUN, "--rm", "--user", "70000", BOX, "id", code=125) == (
        "Error: cannot run as 70000: the user ID 70000 is beyond those that /etc/subuid gives you"
    )


def test_folders_and_volumes(mine: OrdinaryFerry) -> None:
    folder = mine.user.home / "shared"
    mounts = ("-v", f"{folder}:/shared", "-v", "kept:/var")
    script = "touch /shared/mine; stat -c %u /shared; touch /var/theirs; chown 1000 /var/theirs"
    assert mine.text(*RUN, "--rm", *mounts, BOX, "sh", "-c", script) == "0"
    assert (folder / "mine").owner() == mine.user.name
    # It begins with what the image has, and outlives the container.
    seen = mine.text(*RUN, "--rm", *mounts, BOX, "stat", "-c", "%u %g %a", "/var", "/var/theirs")
    assert seen.splitlines() == ["0 50 2775", "1000 50 644"]
    mine("volume", "rm", "kept")
    assert not os.listdir(mine.root / "tmp")


@pytest.mark.parametrize("kind", ["pid", "ipc", "network"])
def test_namespaces(mine: OrdinaryFerry, kind: str) -> None:
    inside = {"pid": "pid", "ipc": "ipc", "network": "net"}[kind]
    network = () if kind == "network" else ("--network", "none")
    link = ("readlink", f"/proc/self/ns/{inside}")
    host = os.readlink(f"/proc/self/ns/{inside}")
    assert mine.text("run", "--rm", *network, f"--{kind}=host", BOX, *link) == host
    shared = ("--ipc=shareable",) if kind == "ipc" else ()
    mine(*RUN, "-d", "--name", "donor", *shared, BOX, "sleep", "1000")
    theirs = mine.text("exec", "donor", *link)
    assert theirs != host
    assert mine.text("run", "--rm", *network, f"--{kind}=container:donor", BOX, *link) == theirs


def test_devices(mine: OrdinaryFerry) -> None:
    flags = ("--device", "/dev/zero:/dev/nothing", "--device", "/dev/full")
    seen = mine.text(*RUN, "--rm", *flags, BOX, "stat", "-c", "%t %T", "/dev/nothing", "/dev/full")
    assert seen.splitlines() == ["1 5", "1 7"]
    assert "CapEff:\t000001ffffffffff" in mine.text(
        *RUN, "--rm", "--privileged", BOX, "cat", "/proc/self/status"
    )


def test_published_ports(mine: OrdinaryFerry) -> None:
    port = free_port()
    mine("run", "-d", "--name", "web", "-p", f"{port}:8000", BOX, *WEB)
    until(lambda: _answers(port))
    assert fetched(port) == "hello\n"
    assert mine.text("ps", "--format", "{{.Ports}}") == f"0.0.0.0:{port}->8000/tcp"
    assert mine.text("port", "web", "8000") == f"0.0.0.0:{port}"
    line = said(mine, "run", "--rm", "-p", f"{port}:8000", BOX, "true", code=125)
    assert line.endswith(f"Bind for 0.0.0.0:{port} failed: port is already allocated")
    # From one container to what another one publishes.
    words = ("wget", "-q", "-O", "-", f"http://outside:{port}/")
    assert mine.text("run", "--rm", "--add-host", "outside:host-gateway", BOX, *words) == "hello"
    mine("restart", "-t", "0", "web")
    until(lambda: _answers(port))
    mine("stop", "-t", "0", "web")
    socket.create_server(("0.0.0.0", port)).close()


def _answers(port: int) -> bool:
    try:
        return bool(fetched(port))
    except OSError:
        return False


def test_ports_that_are_chosen(mine: OrdinaryFerry) -> None:
    mine("run", "-d", "--name", "web", "-p", "127.0.0.1::8000", "-p", "8000/udp", BOX, *WEB)
    ports = json.loads(mine.text("inspect", "web"))[0]["NetworkSettings"]["Ports"]
    (binding,) = ports["8000/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    until(lambda: _answers(int(binding["HostPort"])))
    assert ports["8000/udp"][0]["HostPort"] != "0"
    # At no other address.
    with pytest.raises(OSError, match="refused"):
        fetched(int(binding["HostPort"]), pasta.host_address())


def test_ports_that_are_roots(mine: OrdinaryFerry) -> None:
    line = said(mine, "run", "--rm", "-p", "80:8000", BOX, "true", code=125)
    assert line.endswith("failed to bind host port 0.0.0.0:80/tcp: permission denied")
    assert not mine.text("ps", "-aq")


def test_what_listens_for_the_machine_alone(mine: OrdinaryFerry) -> None:
    """Neither the gateway nor the container's own loopback leads to it."""
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        for host in ("10.0.2.2", "127.0.0.1"):
            words = ("nc", "-w", "2", host, str(port))
            assert mine("run", "--rm", BOX, *words, check=False).returncode == 1
        ours.settimeout(0.1)
        with pytest.raises(TimeoutError):
            ours.accept()


def test_what_runs(mine: OrdinaryFerry) -> None:
    mine(*RUN, "-d", "--name", "busy", BOX, "sh", "-c", "echo begun; exec sleep 1000")
    assert mine.text("ps", "--format", "{{.Names}}") == "busy"
    assert mine.text("logs", "busy") == "begun"
    words = ("exec", "-i", "-u", "ann", "busy", "sh", "-c", "cat; id -u; exit 5")
    done = mine(*words, input=b"in ", check=False)
    assert (done.stdout, done.returncode) == (b"in 1000\n", 5)
    assert mine.text("top", "busy").endswith("sleep 1000")
    assert "busy" in mine.text("stats", "--no-stream", "--format", "{{.Name}}")
    assert mine.text("stop", "-t", "0", "busy") == "busy"
    assert state(mine, "busy")["ExitCode"] == 137
    mine("start", "busy")
    mine("kill", "-s", "KILL", "busy")
    assert mine.text("wait", "busy") == "137"


def test_attached(mine: OrdinaryFerry) -> None:
    mine(*RUN, "-d", "-i", "--name", "waits", BOX, "sh", "-c", "read line; echo $line; exit 6")
    done = mine("attach", "waits", input=b"this\n", check=False)
    assert (done.stdout, done.returncode) == (b"this\n", 6)


def test_files(mine: OrdinaryFerry) -> None:
    script = "rm /etc/notes; echo new > /home/ann/new; chown 1000 /home/ann/new; exec sleep 1000"
    mine(*RUN, "-d", "--name", "writes", BOX, "sh", "-c", script)
    until(lambda: "new" in mine.text("diff", "writes"))
    assert set(mine.text("diff", "writes").splitlines()) == {
        *("C /etc", "D /etc/notes", "C /home", "C /home/ann", "A /home/ann/new")
    }
    (mine.user.home / "given").write_text("given")
    (mine.user.home / "given").chmod(0o644)
    mine("cp", str(mine.user.home / "given"), "writes:/root/")
    mine("cp", "writes:/home/ann/new", str(mine.user.home / "taken"))
    taken = mine.user.home / "taken"
    assert (taken.read_text(), taken.owner()) == ("new\n", mine.user.name)
    running = mine("export", "writes").stdout
    mine("commit", "writes", "written:1")
    mine("stop", "-t", "0", "writes")
    assert entries(mine("export", "writes").stdout) == entries(running)
    mine("import", "-", "taken:1", input=running)
    script = "cat /root/given; test ! -e /etc/notes; stat -c ' %u' /home/ann/new"
    for image in ("written:1", "taken:1"):
        assert mine.text(*RUN, "--rm", image, "/bin/sh", "-c", script) == "given 1000"


def test_started_again(mine: OrdinaryFerry) -> None:
    port = free_port()
    script = f"echo x >> /count; test $(wc -l < /count) = 3 && {' '.join(WEB[2:])}; exit 1"
    flags = ("--restart", "on-failure:5", "-p", f"{port}:8000", "--name", "tries")
    mine("run", "-d", *flags, BOX, "sh", "-c", script)
    until(lambda: _answers(port))
    assert mine.text("inspect", "-f", "{{.RestartCount}}", "tries") == "2"


def test_at_once(mine: OrdinaryFerry) -> None:
    """Whoever is first makes the namespace; whoever ends, it stays while any container runs."""

    def begin(name: str) -> None:
        mine(*RUN, "-d", "--name", name, "-u", "ann", BOX, "sleep", "1000")

    names = [f"box{number}" for number in range(6)]
    threads = [threading.Thread(target=begin, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pids = [state(mine, name)["Pid"] for name in names]
    assert len({os.readlink(f"/proc/{pid}/ns/user") for pid in pids}) == 1
    mine("rm", "-f", *names[1:])
    assert state(mine, "box0")["Running"]


def test_the_monitor_dies(mine: OrdinaryFerry) -> None:
    container = mine.text("run", "-d", "--name", "orphan", "-u", "ann", BOX, "sleep", "1000")
    pid = state(mine, "orphan")["Pid"]
    folder = mine.root / "containers" / container
    os.kill(int((folder / "bundle/conmon.pid").read_text()), signal.SIGKILL)
    found = state(mine, "orphan")
    assert (found["Status"], found["ExitCode"]) == ("exited", 137)
    assert not os.path.exists(f"/proc/{pid}/root/etc")
    until(lambda: not mine.user.processes())
    mine("start", "orphan")
    assert state(mine, "orphan")["Running"]


def test_build(mine: OrdinaryFerry) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in (
            ("Dockerfile", f"FROM {BOX}\nCOPY --chown=ann file /\nRUN id -u > /id && rm /last\n"),
            ("file", "copied\n"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    mine("build", "-t", "built:1", "-", input=context.getvalue())
    script = "cat /file /id; stat -c %u:%g /file; test ! -e /last"
    seen = mine.text(*RUN, "--rm", "built:1", "sh", "-c", script)
    assert seen.split() == ["copied", "0", "1000:1001"]


@pytest.mark.slow
def test_killed_at_any_moment(mine: OrdinaryFerry) -> None:
    mine("run", "--rm", BOX, "true")
    rounds = random.Random(7)
    for number in range(8):
        flags = ("-d", "-p", "8000", "-v", f"v{number}:/var", "-u", "ann")
        starting = mine.popen("run", *flags, BOX, "sleep", "1000")
        with contextlib.suppress(subprocess.TimeoutExpired):
            starting.wait(rounds.uniform(0.2, 1.2))
        starting.kill()
        starting.communicate()
        if left := mine.text("ps", "-aq").split():
            mine("rm", "-f", "-v", *left)
        until(lambda: not mine.user.processes())
    mine("system", "prune", "--force")
    assert not os.listdir(mine.root / "containers")
    assert not os.listdir(mine.root / "tmp")
    assert mine.text("system", "check") == "The store is clean"


def test_nothing_is_left(mine: OrdinaryFerry) -> None:
    mine("run", "-d", "--name", "one", "-v", "kept:/var", "-p", "8000", BOX, *WEB)
    mine("run", "--rm", BOX, "sh", "-c", "mkdir -m 700 /x; touch /x/y; chown -R 1000 /x")
    mine("rm", "-f", "-v", "one")
    until(lambda: not mine.user.processes())
    assert not os.listdir(mine.root / "containers")
    assert not os.listdir(mine.root / "tmp")
    assert str(mine.user.folder) not in Path("/proc/mounts").read_text()
    mine("system", "prune", "--all", "--force", "--volumes")
    assert not mine.text("images", "-aq")
    assert not [*os.listdir(mine.root / "layers"), *os.listdir(mine.root / "tmp")]


def test_what_an_ordinary_user_cannot_have(mine: OrdinaryFerry) -> None:
    done = mine(*RUN, "--rm", "-m", "64m", "--pids-limit", "10", BOX, "true")
    warnings = done.stderr.decode().splitlines()
    assert len(warnings) == 2
    assert all(line.startswith("WARNING: Your kernel does not support ") for line in warnings)
    mine(*RUN, "-d", "--name", "busy", BOX, "sleep", "1000")
    assert said(mine, "pause", "busy", code=1) == (
        "Error: an ordinary user has no control group to pause a container with"
    )
    assert mine.text(*RUN, "--rm", "--oom-score-adj", "-1", BOX, "true") == ""


def test_networks_are_roots(mine: OrdinaryFerry) -> None:
    assert said(mine, "network", "create", "own", code=1) == (
        "Error: networks that users make need root: for an ordinary user there are bridge, host, "
        "none and container:NAME"
    )
    mine("run", "-d", "--name", "busy", BOX, "sleep", "1000")
    assert said(mine, "network", "disconnect", "bridge", "busy", code=1) == (
        "Error: an ordinary user's container changes its networks only while it does not run"
    )
    assert mine.text("network", "ls", "--format", "{{.Name}}").split() == ["bridge", "host", "none"]


def test_owners_beyond_the_ids_of_a_user(mine: OrdinaryFerry) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.uid = 100_000
        archive.addfile(member)
    mine("import", "-", "far:1", input=content.getvalue())
    line = said(mine, "run", "--rm", "far:1", "true", code=125)
    assert line.endswith("'file': the user ID 100000 is beyond those that /etc/subuid gives you")
    assert not os.listdir(mine.root / "tmp")


def test_no_ids(mine: OrdinaryFerry) -> None:
    """Images need none; containers say what is missing."""
    saved = mine("save", BOX).stdout
    nobody = User("54321", mine.user.folder)
    root = nobody.folder / "other"
    root.mkdir()
    os.chown(root, 54321, 54321)
    theirs = OrdinaryFerry(nobody, root)
    theirs("load", input=saved)
    line = said(theirs, "run", "--rm", BOX, "true", code=125)
    shutil.rmtree(root)
    assert line == (
        "Error: 54321 has no IDs for the files of containers: add a line like "
        '"54321:100000:65536" to /etc/subuid'
    )


@pytest.mark.parametrize(("program", "package"), [("newuidmap", "uidmap"), ("pasta", "passt")])
def test_a_program_is_missing(
    mine: OrdinaryFerry, tmp_path: Path, program: str, package: str
) -> None:
    path = shutil.which(program)
    assert path
    nothing = tmp_path / "nothing"
    nothing.touch()
    done = mine.shown((nothing, path)).run("run", "--rm", BOX, "true", check=False)
    assert done.returncode == 125
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"Error: {program} is needed to ")
    assert line.endswith(f" ordinary user: install the package {package}")


def test_what_it_uses_and_does(mine: OrdinaryFerry) -> None:
    """Counted by its processes where a user has no control groups."""
    script = "while :; do :; done & dd if=/dev/zero of=/dev/shm/held bs=1M count=20; exec cat"
    mine(*RUN, "-dit", "--name", "busy", BOX, "sh", "-c", script)
    titles, *rows = mine.text("top", "busy").splitlines()
    assert titles.split()[:2] == ["UID", "PID"]
    assert [row.split()[-1] for row in rows] == ["cat", "cat"]  # the shell's words end so, too
    shown = json.loads(mine.text("stats", "--no-stream", "--format", "json", "busy"))
    assert float(shown["CPUPerc"].rstrip("%")) > 5
    assert shown["PIDs"] == "2"
    assert not shown["MemUsage"].startswith("0B")


def test_at_a_terminal(mine: OrdinaryFerry) -> None:
    mine(*RUN, "-d", "--name", "host", BOX, "sleep", "1000")
    for words in ((*RUN, "--rm", "-it", BOX, "sh"), ("exec", "-it", "host", "sh")):
        shell = Terminal(mine.at(None), *words, rows=31, columns=77)
        try:
            shell.until("# ")
            shell.type("stty size\r")
            shell.until("\n31 77\r\n")
            shell.resize(43, 99)
            shell.type("while [ \"$(stty size)\" != '43 99' ]; do sleep 0.1; done; echo ok\r")
            shell.until("\nok\r\n")
            shell.type("exit 7\r")
            assert shell.ended() == 7
            assert shell.settings == shell.before
        finally:
            shell.close()
