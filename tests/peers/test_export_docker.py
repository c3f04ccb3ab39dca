"""Export, commit and diff against docker: the same commands, the same files, the same layers."""

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Command
from tests.conftest import BOX as IMAGE
from tests.ferry import Ferry
from tests.runtime.box import busybox_tree

pytestmark = pytest.mark.peer

Engine = Command | Ferry
Both = tuple[Engine, Engine]

SCRIPT = r"""
mkdir -p /made/deep/er && echo one > /made/one && ln /made/one /made/deep/two
ln -s ../one /made/deep/link && ln /made/deep/link /made/link
chmod 4755 /made/one && chown 1000:1001 /made/deep && chmod 1777 /made/deep/er
mkfifo /made/pipe && touch -d '2001-02-03 04:05:06' /made/old && touch -d @-5 /made/before
mknod /made/null c 1 3 && ln /made/null /made/same && mknod -m 600 /made/block b 7 300
echo changed >> /etc/notes && rm /etc/group && rm -rf /home/ann && mkdir /home/ann
echo new > /home/ann/new; rm -r /root && echo file > /root; rm /etc/sparse && mkdir /etc/sparse
chown 3000000:3000001 /made/old; ln /bin/busybox /made/box; ln /etc/passwd /made/passwd
dd if=/dev/zero of=/made/large bs=1M count=3 2>/dev/null
dd if=/dev/zero of=/made/sparse bs=1 count=1 seek=5000000 2>/dev/null
echo long > /made/$(printf 'n%.0s' $(seq 1 200)); ln -s /made/$(printf 'n%.0s' $(seq 1 200)) /made/l
long=/made/$(printf 'd%.0s' $(seq 1 120)); mkdir -p $long$long && echo deep > $long$long/file
ln $long$long/file /made/short; echo odd > "$(printf '/made/n\303\244me \377 x')"
echo line > "$(printf '/made/new\nline')"; echo 1 > /made/wh.x
for at in /volume /named /bind /shared/deep/er /scratch; do echo inside > $at/within; done
"""
MOUNTED = ("volume", "named", "bind", "shared", "scratch")


class Entry(NamedTuple):
    """What a tar says of a member, as far as docker tells it."""

    type: bytes
    mode: int
    owner: tuple[int, int]
    size: int
    link: str
    mtime: int | None
    capability: str | None
    device: tuple[int, int]


_SETTLED = ("bin/", "made/old", "made/before", "volume/", "named/", "bind/")


def entries(content: bytes) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        for each in opened:
            folder = each.isdir()
            # docker writes whole seconds.  A folder's or a link's time is that of the start.
            settled = each.isfile() and each.name.startswith(_SETTLED)
            found[each.name.rstrip("/")] = Entry(
                each.type,
                each.mode & 0o7777,
                (each.uid, each.gid),
                0 if folder else each.size,
                each.linkname,
                int(each.mtime) if settled else None,
                each.pax_headers.get("SCHILY.xattr.security.capability"),
                (each.devmajor, each.devminor),
            )
    return found


@pytest.fixture(scope="module")
def tree_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    tree = busybox_tree(folder / "tree")
    # What the image has where something will be mounted.
    for name in MOUNTED[:3]:
        (tree / name / "below").mkdir(parents=True)
        (tree / name / "of-image").write_text("of the image\n")
    for name, kind, device in (("null", "c", ("1", "3")), ("block", "b", ("7", "300"))):
        subprocess.run(["mknod", tree / "etc" / name, kind, *device], check=True)
    with (tree / "etc/sparse").open("wb") as f:
        f.truncate(1 << 20)
    tar = folder / "tree.tar"
    if shutil.which("setcap"):
        shutil.copy(tree / "bin/busybox", tree / "bin/capable")
        subprocess.run(["setcap", "cap_net_raw+ep", tree / "bin/capable"], check=True)
    pack = ("tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", tree, "-cf", tar, ".")
    subprocess.run(pack, check=True)
    return tar


@pytest.fixture
def both(dockerd: Command, ferry: Ferry, tree_tar: Path) -> Iterator[Both]:
    """docker and ferry, with the same image under the same name."""
    changes = ("--change", "ENV PATH=/bin", "--change", 'CMD ["sh"]')
    engines: Both = (dockerd, ferry)
    for engine in engines:
        engine.run("import", *changes, tree_tar, IMAGE)
    try:
        yield dockerd, ferry
    finally:
        for engine in engines:
            if left := engine.text("ps", "-aq").split():
                engine.run("rm", "--force", "--volumes", *left)
        dockerd.run("rmi", "--force", IMAGE)


def made(engine: Engine, bind: Path, name: str, *, then: str) -> None:
    bind.mkdir(parents=True)
    engine.run(
        *("run", "--detach", "--network", "none", "--name", name, "--hostname", "same"),
        *("--volume", "/volume", "--volume", f"{name}:/named", "--volume", f"{bind}:/bind"),
        *("--volume", f"{bind}:/shared/deep/er", "--tmpfs", "/scratch"),
        *(IMAGE, "sh", "-c", f"{SCRIPT}\n{then}"),
    )


@pytest.mark.parametrize("state", ["running", "stopped", "created"])
def test_export(both: Both, tmp_path: Path, state: str) -> None:
    tars = []
    for number, engine in enumerate(both):
        name = f"export-{state}"
        if state == "created":
            engine.run("create", "--network", "none", "--name", name, IMAGE, "true")
        else:
            then = "touch /ready; sleep 1000" if state == "running" else "touch /ready"
            made(engine, tmp_path / f"bind{number}", name, then=then)
            if state == "stopped":
                assert engine.text("wait", name) == "0"
            else:
                wait_for(engine, name)
        tars.append(engine.run("export", name).stdout)
    theirs, ours = map(entries, tars)
    assert not any("within" in name for name in ours)
    assert list(ours) == list(theirs)
    if state != "created":
        assert {"volume/of-image", "named/below", "shared/deep/er", "scratch"} <= set(ours)
    for name, entry in theirs.items():
        assert (name, ours[name]) == (name, entry)


def wait_for(engine: Engine, name: str) -> None:
    for _ in range(200):
        with tarfile.open(fileobj=io.BytesIO(engine.run("export", name).stdout)) as opened:
            if "ready" in opened.getnames():
                return
    raise AssertionError("the container has not come to its end")


def test_diff(both: Both, tmp_path: Path) -> None:
    said = []
    for number, engine in enumerate(both):
        made(engine, tmp_path / f"bind{number}", "differs", then="true")
        assert engine.text("wait", "differs") == "0"
        said.append(sorted(engine.text("diff", "differs").splitlines()))
    theirs, ours = said
    assert ours == theirs


def test_commit(both: Both, tmp_path: Path) -> None:
    layers, configs = [], []
    changes = ("--change", 'CMD ["cat", "/made/one"]', "--change", "LABEL kept=yes")
    for number, engine in enumerate(both):
        made(engine, tmp_path / f"bind{number}", "committed", then="true")
        engine.run("wait", "committed")
        engine.run("commit", *changes, "--message", "why", "--author", "who", "committed", "new:1")
        archive = engine.run("save", "new:1").stdout
        layers.append(entries(top_layer(archive)))
        configs.append(json.loads(engine.text("image", "inspect", "new:1"))[0])
    theirs, ours = layers
    assert sorted(ours) == sorted(theirs)
    for name, entry in theirs.items():
        if not name.rpartition("/")[2].startswith(".wh."):
            assert (name, ours[name]) == (name, entry)
    for key in ("Comment", "Author", "Architecture", "Os"):
        assert configs[1][key] == configs[0][key]
    for key in ("Cmd", "Env", "Labels", "Volumes", "WorkingDir", "Entrypoint", "User"):
        assert configs[1]["Config"][key] == configs[0]["Config"][key], key
    both[0].run("rmi", "new:1", check=False)


def top_layer(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:

        def content(name: str) -> bytes:
            found = opened.extractfile(name)
            assert found
            return found.read()

        (entry,) = json.loads(content("manifest.json"))
        return content(entry["Layers"][-1])


def test_each_runs_what_the_other_committed(both: Both, tmp_path: Path) -> None:
    docker, ferry = both
    run = ("run", "--rm", "--network", "none")
    for engine, other in ((ferry, docker), (docker, ferry)):
        engine.run(*run[:1], *run[2:], "--name", "maker", IMAGE, "sh", "-c", "echo hello > /said")
        engine.run("commit", "--change", 'CMD ["cat", "/said"]', "maker", "spoken:1")
        archive = tmp_path / "spoken.tar"
        archive.unlink(missing_ok=True)
        engine.run("save", "--output", archive, "spoken:1")
        other.run("load", "--input", archive)
        assert other.text(*run, "spoken:1") == "hello"
        engine.run("rm", "maker")
        for each in both:
            each.run("rmi", "--force", "spoken:1")


def test_an_export_becomes_an_image_anywhere(both: Both, tmp_path: Path) -> None:
    docker, ferry = both
    for one, other in ((ferry, docker), (docker, ferry)):
        one.run("create", "--network", "none", "--name", "source", IMAGE)
        tar = tmp_path / "files.tar"
        tar.unlink(missing_ok=True)
        one.run("export", "--output", tar, "source")
        changes = ("--change", "ENV PATH=/bin", "--change", 'CMD ["cat", "/etc/notes"]')
        other.run("import", *changes, tar, "files:1")
        assert other.text("run", "--rm", "--network", "none", "files:1") == "not a program"
        one.run("rm", "source")
        other.run("rmi", "files:1")
