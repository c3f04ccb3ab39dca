"""A machine of its own: processes, network, firewall and mounts that nobody else changes.

What containers leave behind can only be told where nothing else comes and goes; other tests, and
all that the machine does otherwise, do so all the time.  The kernel, the disks, the control groups
and the loop devices are the real machine's.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ferryman.runtime import cgroups
from tests.command import Command
from tests.ferry import Ferry

_SETUP = """
    set -e
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir /run/cgroup
    mount --rbind /sys/fs/cgroup /run/cgroup
    mount -t sysfs sysfs /sys
    mount --rbind /run/cgroup /sys/fs/cgroup
    umount -R /run/cgroup
    rmdir /run/cgroup
    mount --make-rshared /
    ip link set lo up
    test -z "$1" || mount --bind "$1" /proc/sys/kernel/random/boot_id
    echo ready
    exec env --ignore-signal=CHLD sleep infinity
"""
_NAMESPACES = ("--mount", "--net", "--pid", "--ipc")


class Left(NamedTuple):
    """Whatever may be left behind on a machine and in a store, in words."""

    processes: list[str]
    mounts: list[str]
    loop_devices: list[str]
    links: list[str]
    addresses: list[str]
    routes: list[str]
    firewall: list[str]
    cgroups: list[str]
    run: list[str]
    store: list[str]


class Machine(Ferry):
    """``ferry`` on a machine of its own, which is there as long as its first process."""

    def __init__(self, root: Path, pid: int) -> None:
        super().__init__(root)
        self.pid = pid
        self.seen: set[str] = set()
        """The IDs of all containers that were ever there to be seen."""
        self._first = self._mounts()

    def at(self, root: Path | None) -> Command:
        return self.command(*super().at(root).argv)

    def command(self, *words: str) -> Command:
        """Return a command that is executed on this machine."""
        return Command(("nsenter", "--target", str(self.pid), *_NAMESPACES, "--", *words))

    def containers(self) -> list[str]:
        """Return the names of the folders of containers, and remember them."""
        folder = self.root / "containers"
        found = sorted(os.listdir(folder)) if folder.exists() else []
        self.seen.update(found)
        return found

    def asked(self, places: Iterable[str]) -> dict[str, str]:
        """Return what web servers answer, by their addresses and ports."""
        script = 'for at; do echo "$at $(curl -s -m 5 "$at")"; done'
        lines = self.command("sh", "-c", script, "sh", *places).text().splitlines()
        return {at: answer for at, _, answer in (line.partition(" ") for line in lines)}

    def processes(self) -> dict[int, list[str]]:
        """Return the command lines of all that runs here but the first process, by its numbers."""
        found: dict[int, list[str]] = {}
        for each in (self.inside / "proc").iterdir():
            if each.name.isdigit() and each.name != "1":
                try:
                    words = os.fsdecode((each / "cmdline").read_bytes()).split("\0")[:-1]
                except OSError:
                    continue  # it has just ended
                if words:  # a zombie has none
                    found[int(each.name)] = words
        return found

    def close(self) -> None:
        """End the machine, as a power failure does."""
        self.containers()
        # With the first process of a namespace all others go.
        os.kill(self.pid, signal.SIGKILL)
        # These do not end with it, and what is frozen in them does not either.
        for container_id in self.seen:
            cgroups.end(container_id)

    @property
    def inside(self) -> Path:
        """The root folder of this machine, as it is reached from outside."""
        return Path(f"/proc/{self.pid}/root")

    def left(self) -> Left:
        """Look at everything."""
        self.containers()
        shown = self.command("sh", "-c", _SHOW).text().split("\0")
        links, addresses, routes, rules, rules6 = shown
        running = self.processes()
        return Left(
            processes=[f"{pid} {' '.join(words)}" for pid, words in sorted(running.items())],
            # What the real machine has may go here too when it goes there.
            mounts=[each for each in self._mounts() if each not in self._first],
            loop_devices=self._loop_devices(),
            links=sorted(each["ifname"] for each in json.loads(links)),
            addresses=sorted(
                f"{each['ifname']} {address['local']}"
                for each in json.loads(addresses)
                for address in each.get("addr_info", ())
            ),
            routes=sorted(f"{each['dst']} {each['dev']}" for each in json.loads(routes or "[]")),
            firewall=[
                re.sub(r" \[\d+:\d+\]$", "", line)
                for line in (rules + rules6).splitlines()
                if not line.startswith("#")
            ],
            cgroups=self._cgroups(),
            run=sorted(map(str, (self.inside / "run").rglob("*"))),
            store=sorted(self._store()),
        )

    def _mounts(self) -> list[str]:
        lines = Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines()
        return sorted(line.split()[4] for line in lines)

    def _loop_devices(self) -> list[str]:
        found = []
        for file in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                found.append(file.read_text().strip())
            except OSError:
                continue  # given back just now
        return sorted(path for path in found if path.startswith(f"{self.root}/"))

    def _cgroups(self) -> list[str]:
        top = Path("/sys/fs/cgroup")
        parents = (top / "ferry", *top.glob("*/ferry"))
        return sorted(
            str(parent / each)
            for parent in parents
            if parent.exists()
            for each in os.listdir(parent)
            if each in self.seen
        )

    def _store(self) -> list[str]:
        """Return the names of all that commands make in a store and take away again."""
        return [
            str(path.relative_to(self.root)) for each in _PARTS for path in self.root.glob(each)
        ]


_PARTS = (
    *("containers/*", "layers/*/*", "volumes/*", "networks/*", "meta/leases/*", "tmp/*"),
    *("image/*", "image/blobs/*/*"),
)
_SHOW = """
    ip -json link; printf '\\0'; ip -json address; printf '\\0'; ip -json route; printf '\\0'
    iptables-save; printf '\\0'; ip6tables-save
"""


@contextmanager
def machine(root: Path, boot: Path | None = None) -> Iterator[Machine]:
    """Give a machine, with a store at `root`, and end all that runs there after the block.

    `boot` is a file with the ID of this start of it, which otherwise is the real machine's.  Skips
    the test where there cannot be one.
    """
    for program in ("unshare", "nsenter", "ip", "iptables-save", "netavark", "conmon", "curl"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/lib/podman") is None:
            pytest.skip(f"{program} is not installed")
    if os.getuid():
        pytest.skip("namespaces without one of users need root")
    namespaces = ("--pid", "--mount-proc", "--net", "--mount", "--ipc", "--propagation", "private")
    with subprocess.Popen(
        [
            *("unshare", "--fork", "--kill-child=KILL", *namespaces, "--"),
            *("sh", "-c", _SETUP, "sh", boot or ""),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        (pid,) = _children(process.pid)
        made = Machine(root, int(pid))
        try:
            yield made
        finally:
            made.close()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def until_equal(wanted: Left, look: Callable[[], Left], seconds: float = 20) -> None:
    """Wait until all is as it was; show what is not, if it does not come to that."""
    deadline = time.monotonic() + seconds
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    for name, before, now in zip(wanted._fields, wanted, found, strict=True):
        more = [each for each in now if each not in before]
        less = [each for each in before if each not in now]
        assert now == before, f"{name}: more {more}, less {less}"
