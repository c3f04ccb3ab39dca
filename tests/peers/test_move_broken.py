"""``ferry move`` over lines that break: one clear error, nothing half there, less the next time."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.command import Command
from tests.disks import small_disk
from tests.ferry import Ferry
from tests.peers.hosts import (
    Host,
    Network,
    Sender,
    host,
    network,
    sshd,
    with_docker,
    with_ferry,
    with_podman,
)

pytestmark = [pytest.mark.peer, pytest.mark.slow]

# Enough to say that it works; more by hand.
ROUNDS = int(os.environ.get("FERRY_TEST_ROUNDS", "6"))
LAYER = 8 << 20
LAYERS = 3
NAME = "ferry-test/broken:1"


@pytest.fixture(scope="module")
def hosts(private: Path) -> Iterator[Network]:
    with network(private / "broken") as made:
        yield made


@pytest.fixture
def sender(hosts: Network, tmp_path: Path) -> Sender:
    """A store with an image of layers that cannot be compressed."""
    ferry = hosts.ferry(tmp_path / "store")
    context = tmp_path / "context"
    context.mkdir()
    lines = ["FROM scratch"]
    for i in range(LAYERS):
        (context / f"{i}").write_bytes(random.Random(i).randbytes(LAYER))
        lines.append(f"COPY {i} /{i}")
    (context / "Dockerfile").write_text("\n".join(lines))
    ferry("build", "-q", "-t", NAME, context)
    return ferry


def begun(sender: Sender, made: Host, *flags: str) -> "subprocess.Popen[bytes]":
    return sender.popen("move", "-q", "--timeout", "3", *flags, NAME, made.name)


def failed(process: "subprocess.Popen[bytes]", made: Host) -> None:
    """Wait for a bad end: one line that names the host."""
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    (line,) = said.decode().splitlines()
    assert line.startswith(f"Error: {made.name}: ")


def at_once(process: "subprocess.Popen[bytes]", made: Host, bytes_gone: int) -> None:
    """Wait until so many bytes are on the wire, or it is over."""
    start = made.wire()
    deadline = time.monotonic() + 60
    while made.wire() - start < bytes_gone and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def cut(sender: Sender, made: Host, moments: random.Random) -> int:
    """Cut the line at some moment of a move; return the bytes that went over it."""
    before = made.wire()
    process = begun(sender, made, "--limit", "12M")
    at_once(process, made, moments.randrange(LAYERS * LAYER))
    made.cut()
    failed(process, made)
    return made.wire() - before


def goes_on(sender: Sender, made: Host, sent: int) -> None:
    """Move it again: what had arrived of so many bytes is not sent again."""
    before = made.wire()
    sender("move", "-q", NAME, made.name)
    # But for what had not been written yet, and the frame that was not whole.
    assert made.wire() - before < LAYERS * LAYER - sent + (10 << 20)


@pytest.mark.parametrize("how", ["line", "sshd"])
def test_cut_at_any_moment(sender: Sender, hosts: Network, tmp_path: Path, how: str) -> None:
    """What has arrived before is not sent again."""
    seed = int(os.environ.get("FERRY_TEST_SEED", "6"))
    print("seed", seed)
    moments = random.Random(seed)
    whole = LAYERS * LAYER
    with ExitStack() as stack:
        made = stack.enter_context(host(hosts, f"b{how}", 20 + len(how)))
        made.give("python3")
        there = with_ferry(made, tmp_path / "there")
        for _ in range(ROUNDS):
            before = made.wire()
            process = begun(sender, made, "--limit", "12M")
            at_once(process, made, moments.randrange(whole))
            if how == "line":
                made.cut()
            else:
                made.stop_sshd()
            failed(process, made)
            sent = made.wire() - before
            assert there.text("images", "--all", "--quiet") == ""
            if how == "line":
                made.mend()
            else:
                stack.enter_context(sshd(made))
            goes_on(sender, made, sent)
            ours = sender.text("inspect", "-f", "{{.Id}}", NAME)
            assert there.text("inspect", "-f", "{{.Id}}", NAME) == ours
            assert "clean" in there.text("system", "check")
            assert not list((made.folder / "cache").rglob("*/*"))
            there("rmi", NAME)


@pytest.mark.parametrize("python", [False, True], ids=["alone", "with python"])
def test_cut_into_docker(sender: Sender, hosts: Network, private: Path, python: bool) -> None:
    """docker keeps the layers that it has unpacked, and nothing by the image's name."""
    moments = random.Random(7)
    with (
        host(hosts, f"bdock{python:d}", 30 + 10 * python) as made,
        with_docker(made, private / f"cut{python:d}") as docker,
    ):
        if python:
            made.give("python3")
        for _ in range(max(2, ROUNDS // 3)):
            cut(sender, made, moments)
            assert set(docker.text("images", "--format", "{{.Tag}}").split()) <= {"<none>"}
            made.mend()
            sender("move", "-q", NAME, made.name)
            ours = sender.text("inspect", "-f", "{{.Id}}", NAME)
            assert docker.text("inspect", "-f", "{{.Id}}", NAME) == ours
            docker.run("rmi", NAME)
            assert docker.text("images", "--all", "--quiet") == ""
            assert not list((made.folder / "cache").rglob("*/*"))


def test_cut_into_podman(sender: Sender, hosts: Network, podman: Command) -> None:
    """What has arrived for an engine that pulls is kept by Python there."""
    moments = random.Random(8)
    with host(hosts, "bpod", 34) as made:
        made.give("python3")
        with_podman(made, podman)
        others = set(podman.text("images", "--all", "--quiet").split())
        for _ in range(max(2, ROUNDS // 3)):
            sent = cut(sender, made, moments)
            assert others == set(podman.text("images", "--all", "--quiet").split())
            made.mend()
            goes_on(sender, made, sent)
            ours = sender.text("inspect", "-f", "{{.Id}}", NAME)
            assert podman.text("inspect", "-f", "{{.Id}}", NAME) == ours.removeprefix("sha256:")
            assert "127.0.0.1" not in podman.text("images", "--format", "{{.Names}}")
            assert not list((made.folder / "cache").rglob("*/*"))
            podman.run("rmi", NAME)


def test_docker_keeps_what_it_has_unpacked(sender: Sender, hosts: Network, private: Path) -> None:
    with host(hosts, "bkept", 33) as made, with_docker(made, private / "bk") as docker:
        process = begun(sender, made, "--limit", "12M")
        deadline = time.monotonic() + 60
        while not docker.text("images", "--quiet"):
            assert process.poll() is None
            assert time.monotonic() < deadline
        made.cut()
        failed(process, made)
        made.mend()
        before = made.wire()
        sender("move", "-q", NAME, made.name)
        assert made.wire() - before < 1.1 * LAYER
        assert docker.text("images", "--all", "--format", "{{.Repository}}:{{.Tag}}") == NAME


def test_cut_into_a_shell(sender: Sender, hosts: Network, skopeo: Command, tmp_path: Path) -> None:
    """Where there is nothing but a shell, it keeps what has arrived, and no name for it."""
    moments = random.Random(9)
    root = tmp_path / "there"
    with host(hosts, "bsh", 35, FERRY_ROOT=str(root)) as made:
        made.give("sha256sum", "sync")
        for _ in range(max(2, ROUNDS // 3)):
            sent = cut(sender, made, moments)
            assert not (root / "image/index.json").exists()
            made.mend()
            goes_on(sender, made, sent)
            ours = sender.text("inspect", "-f", "{{.Descriptor.Digest}}", NAME)
            there = f"oci:{root}/image:docker.io/{NAME}"
            assert skopeo.text("inspect", "--format", "{{.Digest}}", there) == ours
            assert not list((root / "image").glob(".*"))
            shutil.rmtree(root)


def test_a_shell_whose_files_are_not_what_they_should_be(
    sender: Sender, hosts: Network, tmp_path: Path
) -> None:
    root = tmp_path / "there"
    with host(hosts, "bsh2", 36, FERRY_ROOT=str(root)) as made:
        made.give("sha256sum", "sync")
        sender("move", "-q", NAME, made.name)
        image = root / "image"
        large = max((image / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
        # What is kept of it is of something else: it is told, and the next time all of it goes.
        large.unlink()
        (image / f".ferry-{large.name}.part").write_bytes(bytes(LAYER))
        (image / "index.json").unlink()
        done = sender("move", "-q", NAME, made.name, check=False)
        said = "Error: bsh2: what arrived is not what was sent\n"
        assert (done.returncode, done.stderr.decode()) == (1, said)
        sender("move", "-q", NAME, made.name)
        # What others have written into the index stays there.
        index = json.loads((image / "index.json").read_text())
        index["manifests"].append({**index["manifests"][0], "annotations": {"a": "b"}})
        index["annotations"] = {"c": "d"}
        (image / "index.json").write_text(json.dumps(index))
        sender("tag", NAME, "ferry-test/other:1")
        sender("move", "-q", "ferry-test/other:1", made.name)
        now = json.loads((image / "index.json").read_text())
        assert now["annotations"] == {"c": "d"}
        assert now["manifests"][:2] == index["manifests"]
        assert len(now["manifests"]) == 3
        for content in ("[]", "{", '{"manifests": 1}', '{"manifests": [1]}'):
            (image / "index.json").write_text(content)
            failed(begun(sender, made), made)
            assert (image / "index.json").read_text() == content


def test_a_full_disk(sender: Sender, hosts: Network, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 << 20) as disk, host(hosts, "bfull", 31) as made:
        made.give("python3")
        (made.folder / "cache").symlink_to(disk)
        there = with_ferry(made, tmp_path / "there")
        # The agent would not fit; the store does.
        sender("move", "-q", NAME, made.name)
        assert there.text("images", "-q", NAME)
    with small_disk(tmp_path / "disk", 16 << 20) as disk, host(hosts, "bful2", 32) as made:
        there = with_ferry(made, disk / "store")
        failed(begun(sender, made), made)
        assert there.text("images", "--all", "--quiet") == ""
        assert "clean" in there.text("system", "check")
    for i, program in enumerate(("python3", "sha256sum")):
        with (
            small_disk(tmp_path / "disk", 16 << 20) as disk,
            host(hosts, f"bfulk{i}", 37 + i, FERRY_ROOT=str(disk / "there")) as made,
        ):
            made.give(program, "sync")
            done = sender("move", "-q", NAME, made.name, check=False)
            assert done.returncode == 1
            assert done.stderr.decode().startswith(f"Error: {made.name}: no room for docker.io/")
            assert not (disk / "there").exists()


SAYS = {
    "endless": "yes; exit 0",
    "endless errors": "yes >&2; exit 0",
    "nonsense": 'echo "{"; exit 0',
    "nothing": "exit 0",
    "long lines": "head -c 300000 /dev/zero | tr '\\0' x; exit 0",
    "a digest that is none": 'echo \'{"Id":"sha256:../../x","RepoTags":null,"RootFS":null},\'',
    "terminal codes": "printf '\\033[2J\\033]0;x\\007' >&2; exit 1",
}


@pytest.mark.parametrize("says", SAYS)
def test_a_hostile_host(sender: Sender, hosts: Network, says: str) -> None:
    """Whatever its docker says: one line, nothing of it but letters, and no harm here."""
    number = 40 + list(SAYS).index(says)
    with host(hosts, f"hostile{number}", number) as made:
        made.script(
            "docker", f'case "$1" in info|--version) echo 20.1 / [];; *) {SAYS[says]};; esac'
        )
        process = begun(sender, made)
        _, said = process.communicate(timeout=100)
        assert process.returncode == 1
        (line,) = said.decode().splitlines()
        assert line.startswith(f"Error: {made.name}: ")
        assert line.isprintable()
        assert len(line) < 700
    assert "clean" in sender.text("system", "check")


def test_no_engine(sender: Sender, hosts: Network) -> None:
    with host(hosts, "bare", 60) as made:
        process = begun(sender, made)
        _, said = process.communicate(timeout=60)
        assert said.decode() == (
            "Error: bare: there is no docker, podman, nerdctl, ctr, ferry, python3 or sha256sum "
            "to be used\n"
        )


def test_no_such_host(sender: Sender) -> None:
    process = sender.popen("move", "-q", "--timeout", "3", NAME, "ssh://root@127.0.0.1:1")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith(b"Error: ssh://root@127.0.0.1:1: ")
    assert said.count(b"\n") == 1


def test_sixteen_hosts(sender: Sender, hosts: Network, tmp_path: Path) -> None:
    """All have it in the end; the one that fails does not stop the others."""
    with ExitStack() as stack:
        made = [stack.enter_context(host(hosts, f"m{i}", 100 + i)) for i in range(16)]
        stores: list[Ferry] = []
        for each in made:
            each.give("python3")
            stores.append(with_ferry(each, tmp_path / each.name))
        made[7].cut()
        flags = ("move", "--parallel", "16", "--timeout", "3", NAME)
        done = sender(*flags, *(m.name for m in made), check=False)
        assert done.returncode == 1
        assert done.stderr.decode().startswith("Error: m7: ")
        assert done.stdout.decode().count("done") == 15
        ours = sender.text("inspect", "-f", "{{.Id}}", NAME)
        for i, store in enumerate(stores):
            if i != 7:
                assert store.text("inspect", "-f", "{{.Id}}", NAME) == ours


@pytest.mark.parametrize("count", [1, 3])
def test_interrupted(
    sender: Sender, hosts: Network, tmp_path: Path, interruptible: None, count: int
) -> None:
    with ExitStack() as stack:
        made = [
            stack.enter_context(host(hosts, f"i{count}{i}", 70 + count + i)) for i in range(count)
        ]
        stores = []
        for each in made:
            each.give("python3")
            stores.append(with_ferry(each, tmp_path / each.name))
        names = [each.name for each in made]
        process = sender.popen("move", "-q", "--limit", "2M", NAME, *names)
        at_once(process, made[0], LAYER // 4)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert (process.returncode, said.strip()) == (130, b"")
        for store in stores:
            assert store.text("images", "--all", "--quiet") == ""


def test_killed(sender: Sender, hosts: Network, tmp_path: Path) -> None:
    """No connection outlives it, here or there."""
    with host(hosts, "kill", 90) as made:
        made.give("python3")
        with_ferry(made, tmp_path / "there")
        process = sender.popen("move", "-q", "--limit", "2M", NAME, made.name)
        at_once(process, made, LAYER // 4)
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 20
        mine = ["pgrep", "-f", f"{hosts.config} .*{made.name}"]
        while subprocess.run(mine, stdout=subprocess.DEVNULL, check=False).returncode == 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
