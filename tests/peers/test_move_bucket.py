"""``ferry move --through s3://``: a real object store, from which hosts fetch; bytes counted."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers import swift
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
)
from tests.peers.test_move import LARGE, NAME, runs, sender

__all__ = ["sender"]

pytestmark = [pytest.mark.peer, pytest.mark.slow]

PLACE = "s3://fleet/images"


@pytest.fixture(scope="module")
def hosts(private: Path) -> Iterator[Network]:
    with network(private / "bnet") as made:
        yield made


class Store(NamedTuple):
    """An object store on a host of its own, and those who move images through it."""

    at: Host
    buckets: swift.Buckets
    sender: Sender

    def ferry(self, **env: str) -> Command:
        words = [f"{key}={value}" for key, value in {**self.buckets.env, **env}.items()]
        return self.at.network.command("env", *words, *Ferry.at(self.sender, None).argv)

    def move(self, *words: str, **env: str) -> "subprocess.CompletedProcess[bytes]":
        return self.ferry(**env).run("move", "--through", PLACE, *words, check=False)

    def failed(self, *words: str, **env: str) -> str:
        """Move what cannot be moved; return the line that says so."""
        done = self.move(*words, **env)
        assert done.returncode == 1
        (line,) = done.stderr.decode().splitlines()
        assert "Signature=" not in line
        assert "Traceback" not in line
        return line.removeprefix("Error: ")

    def objects(self) -> dict[str, str]:
        """Return the names of all objects, and when each was put there."""
        said = self.buckets.ask("GET", "/fleet").decode()
        found = re.findall("<Key>([^<]*)</Key><LastModified>([^<]*)<", said)
        return dict(found)

    def size(self, name: str) -> int:
        """Return the bytes of an object."""
        return len(self.buckets.ask("GET", f"/fleet/{name}"))

    def remove(self, part: str) -> None:
        """Remove the objects whose names have this part."""
        for name in self.objects():
            if part in name:
                self.buckets.ask("DELETE", f"/fleet/{name}")


@pytest.fixture(scope="module")
def buckets(hosts: Network, private: Path) -> Iterator[tuple[Host, swift.Buckets]]:
    with (
        host(hosts, "store", 2) as at,
        swift.running(private, at.address, at.within) as made,
    ):
        yield at, made


@pytest.fixture
def store(sender: Sender, buckets: tuple[Host, swift.Buckets]) -> Iterator[Store]:
    at, made = buckets
    made.ask("PUT", "/fleet")
    store = Store(at, made, sender)
    yield store
    store.remove("")
    made.ask("DELETE", "/fleet")


def test_a_fleet(store: Store, hosts: Network, private: Path, podman: Command) -> None:
    """Each blob goes to the bucket once, and to the hosts from there."""
    with ExitStack() as stack:
        made = [stack.enter_context(host(hosts, f"f{i}", 3 + i)) for i in range(3)]
        made[0].give("curl", "zstd")
        made[1].give("python3")
        dockers = [
            stack.enter_context(with_docker(each, private / f"bd{i}"))
            for i, each in enumerate(made[:2])
        ]
        with_podman(made[2], podman)
        names = [each.name for each in made]
        done = store.move("--dry-run", NAME, *names)
        assert done.stdout.count(b"by bucket: 3 of 3 layers") == 3
        assert not store.objects()
        for version, least in ((1, LARGE), (2, 100_000)):
            most = least * 1.2 + (2_000_000 if version == 1 else 60_000)
            before = [hosts.wire(), *(each.wire() for each in made)]
            done = store.move(f"ferry-test/app:{version}", *names)
            assert done.returncode == 0, done.stderr
            assert done.stdout.count(b"done") == 3
            after = [hosts.wire(), *(each.wire() for each in made)]
            ours, *theirs = (now - then for now, then in zip(after, before, strict=True))
            assert all(least < each < most for each in theirs)
            # To the bucket once by zstd and once by gzip, however many hosts there are.
            assert 2 * least < ours < 2 * most + 3 * 60_000
        put = store.objects()
        assert sum(name.endswith(".zst") for name in put) == 4
        assert sum(name.endswith(".gz") for name in put) == 4
        for docker in dockers:
            runs(docker, store.sender)
        runs(podman, store.sender)
        # What is there is not put there again, for whoever comes: there is little left to send.
        sent = hosts.wire()
        assert store.move(NAME, *names).returncode == 0
        assert store.objects() == put
        assert hosts.wire() - sent < 3 * 60_000
        for engine in (*dockers, podman):
            assert engine.text("images", "--quiet")
            engine.run("rmi", "--force", NAME)


def fetching(made: Host, fetcher: str, before: str = "") -> None:
    """Let a host fetch with a program; what it is told by arguments is written down."""
    name = "wget" if fetcher == "busybox" else fetcher
    program = "busybox wget" if fetcher == "busybox" else shutil.which(name, path="/usr/bin:/bin")
    note = f'printf "%s " "$@" >>{made.folder}/{fetcher}.arguments'
    made.script(name, f'{before}\n{note}\nexec {program} "$@"')


@pytest.mark.parametrize("fetcher", ["curl", "python3", "wget", "busybox"])
def test_fetchers(store: Store, hosts: Network, tmp_path: Path, fetcher: str) -> None:
    """Whatever a host has; and what fails says why, and leaves nothing there."""
    with host(hosts, f"g{fetcher}", 20 + len(fetcher)) as made:
        made.give("busybox")
        fetching(made, fetcher)
        there = with_ferry(made, tmp_path / "there")
        done = store.move(NAME, made.name)
        assert done.returncode == 0, done.stderr
        assert there.text("run", "--rm", "--network", "none", NAME) == "1"
        if fetcher != "busybox":
            assert "Signature" not in (made.folder / f"{fetcher}.arguments").read_text()
        there("rmi", NAME)
        put = store.objects()
        (name,) = (key for key in put if key.endswith(".gz") and store.size(key) > LARGE)
        # What is not any more what was put there is put there again.
        store.buckets.ask("PUT", f"/fleet/{name}")
        assert store.move(NAME, made.name).returncode == 0
        assert store.size(name) > LARGE
        there("rmi", NAME)
        # It vanishes after it was looked for.
        asked = store.buckets.signed("DELETE", f"/fleet/{name}")
        fetching(made, fetcher, shlex.join(["/usr/bin/curl", *asked]))
        key = name.removeprefix("images/")
        assert store.failed(NAME, made.name) == (
            f"{made.name}: {key} is gone from {PLACE} (404): move again, and it is put there again"
        )
        # Who is there does not let the host in.
        fetching(made, fetcher)
        made.run_apart("ip", "route", "add", "prohibit", f"{store.at.address}/32")
        said = store.failed(NAME, made.name)
        assert said.startswith(f"{made.name}: cannot fetch moves/sha256/")
        assert f" of {PLACE} from http://{store.buckets.address}, which hosts must reach: " in said
        assert not there.text("images", "--quiet")
        assert "clean" in there.text("system", "check")


def test_what_goes_wrong(store: Store, hosts: Network, private: Path) -> None:
    with host(hosts, "wrong", 11) as made, with_docker(made, private / "bw") as docker:
        none = store.failed(NAME, made.name)
        assert none == f"{made.name}: there is no curl, wget or python3 to fetch from {PLACE}"
        assert not store.objects()
        assert store.failed(NAME, made.name, "wrong", AWS_SECRET_ACCESS_KEY="wrong") == (
            f"{PLACE}: access denied (SignatureDoesNotMatch): see AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and what they may do there"
        )
        made.give("zstd")
        curl = shutil.which("curl", path="/usr/bin")
        # The address is not the one that was signed, as when it has expired.
        made.script("curl", f'sed s/Expires=21600/Expires=1/ | {curl} "$@"')
        assert f"{PLACE} does not give out moves/sha256/" in store.failed(NAME, made.name)
        # What is fetched is something else, or not all of it.
        for way in ("cat /bin/busybox", f'{curl} "$@" | head -c 100000'):
            made.script("curl", way)
            assert "cannot be decompressed there" in store.failed(NAME, made.name)
        # The engine fails while it is being fetched.
        made.script("curl", f'exec {curl} "$@"')
        text = (made.folder / "bin/docker").read_text()
        made.script("docker", f'[ "$1" != load ] || {{ echo no space >&2; exit 1; }}\n{text}')
        assert store.failed(NAME, made.name) == f"{made.name}: docker load: no space"
        assert not docker.text("images", "--quiet")
        made.script("docker", text)
        assert store.move(NAME, made.name).returncode == 0
        docker.run("rmi", "--force", NAME)


def test_python_alone(store: Store, hosts: Network, tmp_path: Path) -> None:
    root = tmp_path / "there"
    with host(hosts, "alone", 16, FERRY_ROOT=str(root)) as made:
        made.give("python3")
        assert store.move("--dry-run", NAME, made.name).returncode == 0
        assert store.move(NAME, made.name).returncode == 0
        assert Ferry(root).text("run", "--rm", "--network", "none", NAME) == "1"
        sent = made.wire()
        second = "ferry-test/app:2"
        made.run_apart("ip", "route", "add", "prohibit", f"{store.at.address}/32")
        said = store.failed(second, made.name)
        assert f"{PLACE} from http://{store.buckets.address}, which hosts must reach: <url" in said
        made.run_apart("ip", "route", "del", "prohibit", f"{store.at.address}/32")
        assert store.move(second, made.name).returncode == 0
        assert made.wire() - sent < 300_000
        assert Ferry(root).text("run", "--rm", "--network", "none", second) == "2"
        assert "clean" in Ferry(root).text("system", "check")


def test_what_is_begun_is_not_put_there(store: Store, hosts: Network, tmp_path: Path) -> None:
    """Neither when Ctrl-C comes meanwhile nor of a blob that is not what it was."""
    with host(hosts, "cut", 14) as made, host(hosts, "too", 15) as other:
        for each in (made, other):
            each.give("curl")
            with_ferry(each, tmp_path / each.name)
        before = store.at.wire()
        words = ("--through", PLACE, "--limit", "300K", NAME, made.name, other.name)
        process = store.ferry().popen("move", *words)
        # What is less than a part goes when it is whole; the large one not before that.
        while store.at.wire() - before < 1_000_000:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert not any(store.size(name) > LARGE for name in store.objects())
        (blob,) = (
            path
            for path in store.sender.root.glob("image/blobs/sha256/*")
            if LARGE < path.stat().st_size < LARGE + 100_000
        )
        os.truncate(blob, 5_000_000)
        # Both hosts wait for the same, and one line says why.
        said = store.failed(NAME, made.name, other.name)
        assert "is missing or damaged: run `ferry system check --repair`" in said
        assert not any(store.size(name) > 4_000_000 for name in store.objects())


def test_no_such_bucket(store: Store) -> None:
    done = store.ferry().run("move", "--through", "s3://nobody/x", NAME, "a", "b", check=False)
    assert done.stderr.decode() == "Error: s3://nobody/x: there is no such bucket\n"


def test_compressed_layers(
    store: Store, hosts: Network, private: Path, podman: Command, tmp_path: Path
) -> None:
    """Who asks for them has them as they are, where a layout has them; docker gets their tars."""
    layout = f"oci:{tmp_path}/layout:{NAME}"
    store.sender("copy", "--compress", "gzip", f"ferry:{NAME}", layout)
    store.sender("rmi", NAME)
    store.sender("copy", layout, f"ferry:{NAME}")
    with host(hosts, "comp", 12) as made, with_docker(made, private / "bc") as docker:
        made.give("curl")
        with_podman(made, podman)
        places = []
        for via, engine in (("docker", docker), ("podman", podman)):
            done = store.move("--via", via, NAME, made.name)
            assert done.returncode == 0, done.stderr
            assert engine.text("run", "--rm", "--network", "none", NAME) == "1"
            engine.run("rmi", "--force", NAME)
            places.append({name.rpartition("/")[0] for name in store.objects()})
        tars, blobs = "images/moves/sha256", "images/blobs/sha256"
        assert places == [{tars}, {tars, blobs}]


@pytest.mark.parametrize("kind", ["docker", "ctr"])
def test_containerd(
    store: Store, hosts: Network, private: Path, newer_docker: Path, kind: str
) -> None:
    """Those who pull are sent on to the bucket."""
    with ExitStack() as stack:
        made = stack.enter_context(host(hosts, f"c{kind}", 30 + len(kind)))
        folder = private / f"b{kind}"
        if kind == "docker":
            entered = with_docker(made, folder, root=newer_docker, containerd=True)
        else:
            entered = with_containerd(made, folder)
        engine = stack.enter_context(entered)
        before = hosts.wire(), made.wire()
        done = store.move(NAME, made.name)
        assert done.returncode == 0, done.stderr
        # What comes to the host is what went to the bucket, and a little from here.
        assert LARGE < hosts.wire() - before[0] < LARGE * 1.2 + 2_000_000
        assert LARGE < made.wire() - before[1] < LARGE * 1.2 + 2_000_000
        if kind == "docker":
            assert engine.text("run", "--rm", "--network", "none", NAME) == "1"
        made.run_apart("ip", "route", "add", "prohibit", f"{store.at.address}/32")
        said = store.failed("ferry-test/app:2", made.name)
        assert said.startswith(f"{made.name}: ")
        assert f"from http://{store.buckets.address}, which hosts must reach" in said
