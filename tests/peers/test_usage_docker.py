"""top and stats print what docker prints of the same container."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry

pytestmark = pytest.mark.peer

RUN = ("run", "-d", "--name", "same", "--network", "none", "-m", "64m")
SCRIPT = "dd if=/dev/zero of=/dev/shm/held bs=1M count=20; sleep 1001 & exec sleep 1002"
IMAGE = "ferry-test/usage:1"


@pytest.fixture(scope="module")
def docked(dockerd: Command, busybox_tar: Path) -> Iterator[Command]:
    dockerd.run("import", "-c", "ENV PATH=/bin", busybox_tar, IMAGE)
    dockerd.run(*RUN, IMAGE, "sh", "-c", SCRIPT)
    yield dockerd
    dockerd.run("rm", "-f", "same")


@pytest.fixture
def ferried(box: Ferry) -> Ferry:
    box(*RUN, "box:1", "sh", "-c", SCRIPT)
    return box


def test_top(docked: Command, ferried: Ferry) -> None:
    for options in ((), ("-o", "pid,ppid,nlwp,args"), ("aux",)):
        theirs, ours = (
            [line.split() for line in peer.text("top", "same", *options).splitlines()]
            for peer in (docked, ferried)
        )
        assert ours[0] == theirs[0]
        assert [line[-2:] for line in ours] == [line[-2:] for line in theirs]


def test_stats(docked: Command, ferried: Ferry) -> None:
    theirs, ours = (
        peer.text("stats", "--no-stream", "same").splitlines() for peer in (docked, ferried)
    )
    # Columns are as wide as what is in them, and the kernel may count no transfers for docker.
    assert ours[0].split() == theirs[0].split()
    assert ours[1].split()[1:3] == theirs[1].split()[1:3] == ["same", "0.00%"]
    assert ours[1].split()[4:6] == theirs[1].split()[4:6] == ["/", "64MiB"]
    used, of_docker = (float(line.split()[3].removesuffix("MiB")) for line in (ours[1], theirs[1]))
    assert 20 <= used <= of_docker + 2
    assert ours[1].split()[-1] == theirs[1].split()[-1] == "2"


def test_words(docked: Command, ferried: Ferry) -> None:
    for command in (
        ("top", "nobody"),
        ("top", "same", "--foo"),
        ("top", "same", "-o", "cmd"),
        ("stats", "--no-stream", "nobody"),
        ("stats", "--no-stream", "--format", "{{.Foo}}", "same"),
    ):
        theirs, ours = (peer.run(*command, check=False) for peer in (docked, ferried))
        assert ours.returncode == theirs.returncode, command
        assert _said(ours.stderr) == _said(theirs.stderr)


def _said(text: bytes) -> str:
    said = text.decode().strip()
    return said.removeprefix("Error response from daemon: ").removeprefix("Error: ")
