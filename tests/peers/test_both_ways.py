"""What one engine makes of a container, another runs: committed and exported, both ways.

Each case is run in ferry, docker and podman, which then commit and export it; the others load or
import that and run it, and what is seen from inside is compared with the container it came from.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.inside import Inside, inside
from tests.rootfs.seen import Entry
from tests.runtime.box import busybox_tree

pytestmark = [pytest.mark.peer, pytest.mark.slow]

BASE = "localhost/ferry-test/base:1"
SLEEP = ("--change", 'CMD ["sleep", "1000"]')
PATH = ("--change", "ENV PATH=/bin")


class Case(NamedTuple):
    """Flags of ``run``, and what the container does."""

    flags: tuple[str, ...] = ()
    script: str = ""


CASES = {
    "added": Case(
        script=r"""
            mkdir -p /new/deep && echo 1 > /new/deep/file && chmod 640 /new/deep/file
            chown 1000:1001 /new/deep && chmod 2775 /new/deep && touch /new/empty
            cp /bin/busybox /new/program && chmod 4755 /new/program
            touch -d '2001-02-03 04:05:06' /new/empty /new/deep
            mkfifo -m 620 /pipe; mknod /null c 1 3; mknod -m 600 /block b 7 300; ln /null /etc/null
            dd if=/dev/zero of=/sparse bs=1 count=1 seek=5000000 2>/dev/null
            mkdir -p "/with spaces/$(printf 'new\nline')" /-dash
            echo 1 > "$(printf '/n\303\244me')"; echo 2 > "$(printf '/not \377 utf-8')"
            echo 3 > /$(printf 'n%.0s' $(seq 1 255)); echo 4 > /wh.x; echo 5 > '/back\slash"quote'
            long=/$(printf 'd%.0s' $(seq 1 150)); mkdir -p $long$long && echo 6 > $long$long/file
            ln $long$long/file /short; ln -s $long$long/file /link; echo 7 > /PaxHeaders.0
        """
    ),
    "changed": Case(
        script="""
            echo more >> /etc/notes; chmod 600 /etc/passwd; chown -R 5:6 /home; chmod 1777 /tmp
            touch -d '2001-02-03 04:05:06' /root; chown -h 7:8 /bin/ls; chown 3000000:4000000 /tmp
            rm /etc/group /bin/vi; rm -r /home/ann
        """
    ),
    "replaced": Case(
        script="""
            rm -r /home && echo file > /home; rm /etc/notes && mkdir -p /etc/notes/in
            rm -r /root && ln -s /tmp /root; rm /bin/vi && mkfifo /bin/vi
        """
    ),
    "emptied": Case(
        script="""
            rm -r /home && mkdir -p /home/ann && echo new > /home/ann/new
            rm -r /tmp && mkdir -m 1777 /tmp
        """
    ),
    "linked": Case(
        script="""
            ln /etc/notes /tmp/notes && echo more >> /tmp/notes; echo a > /a && ln /a /home/ann/b
            ln -s ../a /home/c && ln -s /nowhere /home/d; ln /home/d /home/e; ln /bin/busybox /f
            mv /home/ann /home/bob; mv /etc/notes /notes; mv /bin/vi /bin/vo
        """
    ),
    "settings": Case(
        (
            *("--env", "A=two words", "--env", "B=", "--workdir", "/home/ann", "--user", "ann"),
            *("--label", "is=kept", "--stop-signal", "USR1", "--expose", "80", "--hostname", "it"),
        ),
        "echo 1 > /tmp/by-ann",
    ),
    "mounted": Case(
        ("-it", "--volume", "/home", "--volume", "/data", "--tmpfs", "/scratch"),
        "echo 1 > /home/in-volume; echo 1 > /data/in-volume; echo 1 > /scratch/x; echo 1 > /kept",
    ),
}


@pytest.fixture(scope="module")
def engines(
    dockerd: Command, podman: Command, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Command]]:
    """The three, with the same image."""
    at = tmp_path_factory.mktemp("both-ways")
    tree = busybox_tree(at / "tree")
    (tree / "tmp").chmod(0o777)
    (tree / "home/ann/old").write_text("old\n")
    if shutil.which("setcap"):
        shutil.copy(tree / "bin/busybox", tree / "bin/capable")
        subprocess.run(["setcap", "cap_net_raw+ep", tree / "bin/capable"], check=True)
    tar = at / "tree.tar"
    pack = ("tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", tree, "-cf", tar, ".")
    subprocess.run(pack, check=True)
    found = {"ferry": Ferry(at / "store").at(None), "docker": dockerd, "podman": podman}
    for engine in found.values():
        engine.run("import", *PATH, tar, BASE)
    yield found
    for engine in found.values():
        if left := engine.text("ps", "--all", "--quiet").split():
            engine.run("rm", "--force", "--volumes", *left)
        engine.run("rmi", "--force", BASE)


PAIRS = [("ferry", "docker"), ("ferry", "podman"), ("docker", "ferry"), ("podman", "ferry")]


@pytest.mark.parametrize("name", CASES)
def test_both_ways(engines: dict[str, Command], tmp_path: Path, name: str) -> None:
    case, image = CASES[name], f"localhost/ferry-test/{name}:1"
    origins: dict[str, Inside] = {}
    for maker, engine in engines.items():
        words = ("sh", "-c", f"{case.script}\nexec sleep 1000")
        engine.run("run", "-d", "--network", "none", "--name", name, *case.flags, BASE, *words)
        origins[maker] = inside(engine, name)
        engine.run("commit", *SLEEP, name, image)
        engine.run("save", "--output", tmp_path / f"{maker}-image.tar", image)
        engine.run("export", "--output", tmp_path / f"{maker}-files.tar", name)
        engine.run("rm", "--force", "--volumes", name)
        engine.run("rmi", "--force", image)
    for maker, user in PAIRS:
        engine, origin = engines[user], origins[maker]
        engine.run("load", "--input", tmp_path / f"{maker}-image.tar")
        found = run(engine, image)
        assert found.process == origin.process
        assert not differences(found, origin, maker)
        engine.run("import", *SLEEP, *PATH, tmp_path / f"{maker}-files.tar", image)
        assert not differences(run(engine, image), origin, maker)


def run(engine: Command, image: str) -> Inside:
    """Run an image, look into the container, and leave neither."""
    container = engine.text("run", "--detach", "--network", "none", image)
    try:
        return inside(engine, container)
    finally:
        engine.run("rm", "--force", "--volumes", container)
        engine.run("rmi", "--force", image)


def differences(found: Inside, origin: Inside, maker: str) -> dict[bytes, object]:
    """Return the files that are not as in the container that they came from."""
    said = [
        {path: written(entry, maker) for path, entry in each.files.items()}
        for each in (found.without(origin.mounts), origin)
    ]
    here, there = said
    return {
        path: (here.get(path), there.get(path))
        for path in here.keys() | there.keys()
        if here.get(path) != there.get(path)
    }


def written(entry: Entry, maker: str) -> Entry:
    """Return an entry as far as the maker of an archive writes of it."""
    if maker == "ferry":
        return entry
    # docker and podman write whole seconds, and of the attributes only the capabilities.
    name = "security.capability"
    return entry._replace(
        mtime_ns=entry.mtime_ns // 10**9,
        xattrs={name: entry.xattrs[name]} if name in entry.xattrs else {},
    )
