"""``ferry move`` to hosts of all kinds: real sshd, real engines, bytes counted by the kernel."""

import json
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry
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
    with_registry,
)

pytestmark = [pytest.mark.peer, pytest.mark.slow]

NAME = "ferry-test/app:1"
# Enough to say that it works; an image of 500 MB by hand.
LARGE = int(os.environ.get("FERRY_TEST_MEGABYTES", "8")) << 20


def noise() -> bytes:
    """Return what cannot be compressed: what is sent of it can be told."""
    made = random.Random(1)
    return b"".join(made.randbytes(1 << 20) for _ in range(LARGE >> 20))


@pytest.fixture(scope="module")
def hosts(private: Path) -> Iterator[Network]:
    with network(private / "net") as made:
        yield made


@pytest.fixture
def sender(hosts: Network, busybox_tar: Path, tmp_path: Path) -> Sender:
    """A store with an image of two layers, and a second version of it whose upper one differs."""
    ferry = hosts.ferry(tmp_path / "store")
    ferry("import", "-c", "ENV PATH=/bin", busybox_tar, "base:1")
    context = tmp_path / "context"
    context.mkdir()
    for version in (1, 2):
        (context / "large").write_bytes(noise())
        (context / "version").write_text(f"{version}\n")
        (context / "small").write_bytes(random.Random(version).randbytes(100_000))
        (context / "Dockerfile").write_text(
            'FROM base:1\nCOPY large /large\nCOPY small version /\nCMD ["cat", "/version"]\n'
        )
        ferry("build", "-q", "-t", f"ferry-test/app:{version}", context)
    return ferry


def moved(sender: Sender, made: Host, version: int, *flags: str) -> int:
    """Move a version, and return the bytes on the wire."""
    before = made.wire()
    sender("move", "-q", *flags, f"ferry-test/app:{version}", made.name)
    return made.wire() - before


def check(sender: Sender, made: Host) -> None:
    """Move two versions: of the second one only its upper layer goes."""
    first = moved(sender, made, 1)
    assert LARGE < first < LARGE * 1.2 + 2_000_000
    second = moved(sender, made, 2)
    assert 100_000 < second < 200_000
    assert moved(sender, made, 2) < 60_000


def runs(engine: Command, sender: Sender) -> None:
    """Run both versions, and see that they have the IDs that they have here; remove them."""
    for version in (1, 2):
        image = f"ferry-test/app:{version}"
        ours = sender.text("inspect", "-f", "{{.Id}}", image).removeprefix("sha256:")
        there = engine.text("image", "inspect", "--format", "{{.Id}}", image)
        assert there.removeprefix("sha256:") == ours
        flags = ("run", "--rm", "--network", "none", image)
        assert engine.text(*flags) == str(version)
    engine.run("rmi", "--force", "ferry-test/app:1", "ferry-test/app:2")


def test_docker(sender: Sender, hosts: Network, private: Path) -> None:
    with host(hosts, "dock", 2) as made, with_docker(made, private / "d1") as docker:
        check(sender, made)
        runs(docker, sender)


def test_two_images_at_once(sender: Sender, hosts: Network, private: Path) -> None:
    """What both stand on is sent once."""
    with host(hosts, "two", 21) as made, with_docker(made, private / "d7") as docker:
        before = made.wire()
        names = ("ferry-test/app:1", "ferry-test/app:2")
        said = sender.text("move", *names, made.name)
        assert made.wire() - before < LARGE * 1.2 + 2_000_000
        assert said.count("is in docker now") == 2
        runs(docker, sender)
        plans = json.loads(sender.text("move", "--dry-run", "--json", *names, made.name))
        assert [image["Way"] for image in plans[0]["Images"]] == ["archive", "archive"]
        assert plans[0]["Images"][0]["Bytes"] > LARGE
        assert docker.text("images", "--quiet") == ""


def test_docker_with_zstd(sender: Sender, hosts: Network, private: Path) -> None:
    with host(hosts, "dockz", 3) as made, with_docker(made, private / "d2") as docker:
        made.give("zstd")
        check(sender, made)
        runs(docker, sender)


def test_docker_with_python(sender: Sender, hosts: Network, private: Path) -> None:
    """A layer that differs a little from one there goes as a difference; nothing stays behind."""
    with host(hosts, "dockp", 9) as made, with_docker(made, private / "d3") as docker:
        made.give("python3")
        check(sender, made)
        runs(docker, sender)
        assert moved(sender, made, 1) > LARGE
        # Of a move that broke: docker has the layer by now.
        layer = sender.text("inspect", "-f", "{{index .RootFS.Layers 0}}", "ferry-test/app:1")
        left = made.folder / "cache/ferry-agent" / layer.removeprefix("sha256:")
        left.parent.mkdir(parents=True)
        left.write_bytes(b"a part")
        large = noise()
        changed = large[:1_000_000] + b"changed" + large[1_000_000:]
        assert change(sender, made, changed) < 200_000
        flags = ("run", "--rm", "--network", "none", "ferry-test/app:3", "wc", "-c", "/large")
        assert docker.text(*flags) == f"{LARGE + 7} /large"
        assert change(sender, made, changed + b"more", "--no-delta") > LARGE
        docker.run("rmi", "--force", "ferry-test/app:1", "ferry-test/app:3")
        assert not list((made.folder / "cache").rglob("*/*"))


def test_a_new_base(sender: Sender, hosts: Network, private: Path) -> None:
    """Layers that are there on top of others are taken from there."""
    context = sender.root.parent / "context"
    text = (context / "Dockerfile").read_text()
    with host(hosts, "rebase", 22) as made, with_docker(made, private / "d8") as docker:
        made.give("python3")
        moved(sender, made, 2)
        sender("build", "-q", "-t", "base:1", "-", input=b"FROM base:1\nWORKDIR /new\n")
        (context / "Dockerfile").write_text(text)
        sender("build", "-q", "-t", "ferry-test/app:3", context)
        assert moved(sender, made, 3) < 100_000
        flags = ("run", "--rm", "--network", "none", "ferry-test/app:3")
        assert docker.text(*flags, "ls", "-d", "/new", "/large") == "/large\n/new"
        docker.run("rmi", "--force", "ferry-test/app:2", "ferry-test/app:3")


def change(sender: Sender, made: Host, large: bytes, *flags: str) -> int:
    """Move an image whose lower layer has another large file; return the bytes on the wire."""
    context = sender.root.parent / "context"
    (context / "large").write_bytes(large)
    sender("build", "-q", "-t", "ferry-test/app:3", context)
    before = made.wire()
    sender("move", "-q", *flags, "ferry-test/app:3", made.name)
    return made.wire() - before


@pytest.mark.parametrize("python", [False, True], ids=["alone", "with python"])
@pytest.mark.parametrize("snapshotter", [False, True], ids=["graph drivers", "containerd"])
def test_newer_docker(
    sender: Sender,
    hosts: Network,
    private: Path,
    newer_docker: Path,
    snapshotter: bool,
    python: bool,
) -> None:
    folder = private / f"n{snapshotter:d}{python:d}"
    with (
        host(hosts, f"newer{snapshotter:d}{python:d}", 4 + 20 * python + snapshotter) as made,
        with_docker(made, folder, root=newer_docker, containerd=snapshotter) as docker,
    ):
        if python:
            made.give("python3")
        check(sender, made)
        if python:
            a_difference(sender, made)
        if snapshotter:
            # There an image's ID is its manifest's digest.
            for version in (1, 2):
                image = f"ferry-test/app:{version}"
                ours = sender.text("inspect", "-f", "{{.Descriptor.Digest}}", image)
                assert docker.text("inspect", "-f", "{{.Id}}", image) == ours
                assert docker.text("run", "--rm", "--network", "none", image) == str(version)
        else:
            runs(docker, sender)


@pytest.mark.parametrize("python", [False, True], ids=["alone", "with python"])
def test_podman(sender: Sender, hosts: Network, podman: Command, python: bool) -> None:
    with host(hosts, f"pod{python:d}", 6 + 20 * python) as made:
        with_podman(made, podman)
        if python:
            made.give("python3")
            # The registry is there then, and no port of ours is needed.
            made.forward_nothing()
        check(sender, made)
        runs(podman, sender)
        if python:
            moved(sender, made, 1)
            a_difference(sender, made)
            podman.run("rmi", "--force", "ferry-test/app:1", "ferry-test/app:3")


def a_difference(sender: Sender, made: Host) -> None:
    """Move an image whose large layer differs a little from one there; nothing stays behind."""
    large = bytearray(noise())
    large[5_000_000:5_000_100] = bytes(100)
    assert change(sender, made, bytes(large)) < 200_000
    assert not list((made.folder / "cache").rglob("*/*"))


@pytest.mark.parametrize("python", [False, True], ids=["alone", "with python"])
def test_containerd(sender: Sender, hosts: Network, private: Path, python: bool) -> None:
    with (
        host(hosts, f"ctrd{python:d}", 7 + 20 * python) as made,
        with_containerd(made, private / f"c{python:d}") as ctr,
    ):
        if python:
            made.give("python3")
        first = moved(sender, made, 1)
        assert LARGE < first < LARGE * 1.2 + 2_000_000
        assert 100_000 < moved(sender, made, 2) < 200_000
        (plan,) = json.loads(sender.text("move", "--dry-run", "--json", "base:1", made.name))
        assert [layer["There"] for layer in plan["Images"][0]["Layers"]] == [True]
        if python:
            a_difference(sender, made)
        for version in (1, 2):
            image = f"docker.io/ferry-test/app:{version}"
            flags = ("run", "--rm", "--snapshotter", "native", image, "one")
            assert ctr.text("-n", "default", *flags) == str(version)
        assert "127.0.0.1" not in ctr.text("-n", "default", "images", "ls", "-q")


@pytest.mark.parametrize("python", [False, True], ids=["alone", "with python"])
def test_ferry(sender: Sender, hosts: Network, tmp_path: Path, python: bool) -> None:
    with host(hosts, f"fer{python:d}", 10 + python) as made:
        if python:
            made.give("python3")
        there = with_ferry(made, tmp_path / "there")
        check(sender, made)
        for version in (1, 2):
            image = f"ferry-test/app:{version}"
            ours = sender.text("inspect", "-f", "{{.Id}}", image)
            assert there.text("inspect", "-f", "{{.Id}}", image) == ours
            assert there.text("run", "--rm", "--network", "none", image) == str(version)
        if python:
            a_difference(sender, made)
        assert "clean" in there.text("system", "check")


def test_from_there(sender: Sender, hosts: Network, private: Path, tmp_path: Path) -> None:
    """What a host has comes here; a ferry there leaves out what is here."""
    ours = sender.text("inspect", "-f", "{{.Id}}", "ferry-test/app:2")
    with (
        host(hosts, "from", 12) as made,
        with_docker(made, private / "d4") as docker,
    ):
        there = with_ferry(made, tmp_path / "there")
        saved = sender("save", "ferry-test/app:2").stdout
        docker.run("load", input=saved)
        there("load", input=saved)
        sender("rmi", "ferry-test/app:2")
        before = made.wire()
        said = sender.text("move", "--via", "ferry", "ferry-test/app:2", "--from", made.name)
        assert said == "Loaded image: ferry-test/app:2"
        assert made.wire() - before < 200_000
        assert sender.text("inspect", "-f", "{{.Id}}", "ferry-test/app:2") == ours
        sender("rmi", "ferry-test/app:2")
        sender("move", "ferry-test/app:2", "--from", made.name)
        assert sender.text("inspect", "-f", "{{.Id}}", "ferry-test/app:2") == ours
        for via, words in {"docker": "does not exist", "ferry": "no/such:1"}.items():
            done = sender("move", "--via", via, "no/such:1", "--from", made.name, check=False)
            assert done.returncode == 1
            (line,) = done.stderr.decode().splitlines()
            assert line.startswith(f"Error: {made.name}: ")
            assert words in line
        docker.run("rmi", "ferry-test/app:2")


def test_through_a_registry(
    sender: Sender, hosts: Network, private: Path, podman: Command, tmp_path: Path
) -> None:
    """The image goes once to a registry; the hosts are told, and pull from there."""
    with ExitStack() as stack:
        at = stack.enter_context(host(hosts, "reg", 13))
        address = stack.enter_context(with_registry(at, private / "reg"))
        config = tmp_path / "registries.toml"
        config.write_text(f'insecure = ["{address}"]\n')
        made = [stack.enter_context(host(hosts, f"t{i}", 14 + i)) for i in range(3)]
        docker = stack.enter_context(with_docker(made[0], private / "d5", insecure=(address,)))
        with_podman(made[1], podman)
        there = with_ferry(made[2], tmp_path / "there", FERRY_REGISTRIES=str(config))
        before = [each.wire() for each in (at, *made)]
        flags = ("move", "--through", f"docker://{address}/fleet", NAME)
        env = ("env", f"FERRY_REGISTRIES={config}")
        ferry = hosts.command(*env, *Ferry.at(sender, None).argv)
        said = ferry.text(*flags, *(each.name for each in made))
        assert said.count("done") == 3
        gone = [each.wire() - b for each, b in zip((at, *made), before, strict=True)]
        # Once to the registry, and from there three times.
        assert 4 * LARGE < gone[0] < 4.5 * LARGE + 8_000_000
        assert all(LARGE < each < 1.2 * LARGE + 2_000_000 for each in gone[1:])
        ours = sender.text("inspect", "-f", "{{.Id}}", NAME)
        assert docker.text("inspect", "-f", "{{.Id}}", NAME) == ours
        assert podman.text("inspect", "-f", "{{.Id}}", NAME) in ours
        assert there.text("inspect", "-f", "{{.Id}}", NAME) == ours
        # Nobody keeps the name at the registry.
        assert address not in sender.text("images") + docker.text("images")
        assert address not in podman.text("images") + there.text("images")
        podman.run("rmi", "--force", NAME)
        docker.run("rmi", "--force", NAME)


@pytest.mark.parametrize("program", ["python3", "sha256sum"])
def test_no_engine(
    sender: Sender, hosts: Network, skopeo: Command, tmp_path: Path, program: str
) -> None:
    """Python or the shell keeps the image as a layout, where a ferry finds it."""
    root = tmp_path / "there"
    python = program == "python3"
    with host(hosts, f"none{python:d}", 18 + 20 * python, FERRY_ROOT=str(root)) as made:
        made.give(program, *(() if python else ("sync",)))
        check(sender, made)
        if python:
            a_difference(sender, made)
        assert os.listdir(root) == ["image"]
        assert sorted(os.listdir(root / "image")) == ["blobs", "index.json", "oci-layout"]
        ours = sender.text("inspect", "-f", "{{.Descriptor.Digest}}", NAME)
        there = f"oci:{root}/image:docker.io/{NAME}"
        assert skopeo.text("inspect", "--format", "{{.Digest}}", there) == ours
        assert "is there already" in sender.text("move", NAME, made.name)
        sender("inventory", "--host", made.name, "-o", tmp_path / "site.json")
        sender("save", "--base", tmp_path / "site.json", "-o", tmp_path / "none.tar", NAME)
        assert (tmp_path / "none.tar").stat().st_size < 20_000
    later = Ferry(root)
    for version in (1, 2):
        image = f"ferry-test/app:{version}"
        assert later.text("run", "--rm", "--network", "none", image) == str(version)
    assert "clean" in later.text("system", "check")


def saved_for(sender: Sender, made: Host, folder: Path) -> Path:
    """Move version 1, and return an archive of what the host, by its inventory, lacks of 2."""
    moved(sender, made, 1)
    site, delta = folder / "site.json", folder / "delta.tar"
    sender("inventory", "--host", made.name, "-o", site)
    sender("save", "--base", site, "-o", delta, "ferry-test/app:2")
    assert delta.stat().st_size < 200_000
    return delta


def test_the_inventory_of_containerd(
    sender: Sender, hosts: Network, private: Path, tmp_path: Path
) -> None:
    with host(hosts, "invc", 29) as made, with_containerd(made, private / "ci") as ctr:
        delta = saved_for(sender, made, tmp_path)
        ctr.run("-n", "default", "images", "import", "--snapshotter", "native", delta)
        image = "docker.io/ferry-test/app:2"
        run = ("run", "--rm", "--snapshotter", "native", image, "one")
        assert ctr.text("-n", "default", *run) == "2"


def test_inventories(sender: Sender, hosts: Network, private: Path, tmp_path: Path) -> None:
    """What a host has is a file here, by which only what is missing there is saved."""
    with host(hosts, "inv", 19) as made, with_docker(made, private / "d6") as docker:
        delta = saved_for(sender, made, tmp_path)
        docker.run("load", "-i", delta)
        runs(docker, sender)
