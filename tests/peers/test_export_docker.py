"""Export, commit and diff against docker: the same commands, the same files, the same layers."""

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
                (0, 0) if each.islnk() else (each.devmajor, each.devminor),
            )
    return found


@pytest.fixture(scope="module")
def tree_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    tree = busybox_tree(folder / "tree")
    (tree / "home/bob").mkdir()
    (tree / "home/bob/file").write_text("of bob\n")
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
    changes = ("--change", "ENV PATH=/bin", "--change", 'CMD ["sh"]', "--message", "made")
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


def made(engine: Engine, bind: Path, name: str, script: str = SCRIPT, *, then: str) -> None:
    bind.mkdir(parents=True)
    engine.run(
        *("run", "--detach", "--network", "none", "--name", name, "--hostname", "same"),
        *("--volume", "/volume", "--volume", f"{name}:/named", "--volume", f"{bind}:/bind"),
        *("--volume", f"{bind}:/shared/deep/er", "--tmpfs", "/scratch"),
        *(IMAGE, "sh", "-c", f"{script}\n{then}"),
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


# What has been written, and is as before or only partly so.
TOUCHED = """
chmod 700 /tmp && chmod 755 /tmp; echo x > /tmp/new && rm /tmp/new; echo x > /gone && rm /gone
chmod 600 /etc/passwd && chmod 644 /etc/passwd; touch /bin; chown 5 /etc/group && chown 0 /etc/group
rm -r /home && mkdir -p /home/ann /home/new && echo 1 > /home/file; touch -h /bin/ls
rm /bin/vi && ln -s busybox /bin/vi; mv /bin/ed /bin/en; rm -r /named/below; chmod 711 /proc
rm /etc/notes && mkdir -p /etc/notes/in; rm -r /root && ln -s /etc /root; echo same > /etc/hosts
"""


@pytest.mark.parametrize("script", [SCRIPT, TOUCHED], ids=["much", "touched"])
def test_diff(both: Both, tmp_path: Path, script: str) -> None:
    said = []
    for number, engine in enumerate(both):
        made(engine, tmp_path / f"bind{number}", "differs", script, then="true")
        engine.run("wait", "differs")
        said.append(sorted(engine.text("diff", "differs").splitlines()))
    theirs, ours = said
    # Some names docker writes as they are, one on two lines, and ferry so that they do no harm.
    odd = ("A /made/new", "A /made/n\N{LATIN SMALL LETTER A WITH DIAERESIS}", "line")
    plain = [[line for line in each if not line.startswith(odd)] for each in (ours, theirs)]
    assert plain[0] == plain[1]
    if script == SCRIPT:
        assert r"A /made/new\nline" in ours


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
    both[0].run("rmi", "new:1", check=False)


# docker makes what is missing of these folders at once, ferry at the first start.
SETTINGS = (
    *("--env", "A=two words", "--workdir", "/tmp", "--user", "ann", "--label", "is=kept"),
    *("--stop-signal", "USR1", "--stop-timeout", "7", "--expose", "80", "--expose", "90/udp"),
    *("--health-cmd", "true", "--health-interval", "1h", "--hostname", "it", "--volume", "/named"),
    *("-it", "--entrypoint", "/bin/sh"),
)
CHANGES = (
    *("--change", 'CMD ["x", "y"]', "--change", "ENV B=c", "--change", "USER root"),
    *("--change", "LABEL more=1", "--change", "ONBUILD RUN x", "--change", "EXPOSE 100"),
)
COMMITS = [
    ((), ()),
    ((), ("--author", "Ann <ann@ship>", "--message", "why so", "--pause=false")),
    (SETTINGS, ()),
    (SETTINGS, ("-a", "Ann", "-m", "why", "-p", *CHANGES)),
]


@pytest.mark.parametrize(("flags", "how"), COMMITS, ids=["plain", "said", "settings", "changes"])
def test_what_a_commit_says(both: Both, flags: tuple[str, ...], how: tuple[str, ...]) -> None:
    configs = []
    for engine in both:
        run = ("create", "--network", "none", "--name", "told")
        engine.run(*run, *("--hostname", "it"), *flags, IMAGE, "-c", "echo hi")
        said = engine.text("commit", *how, "told", "new:1")
        config = config_of(engine.run("save", "new:1").stdout)
        assert said == engine.text("image", "inspect", "--format", "{{.Id}}", "new:1")
        engine.run("rmi", "new:1")
        engine.run("rm", "--volumes", "told")
        # When, by which docker, and which container: its own in each.
        for key in ("created", "container", "docker_version", "container_config", "rootfs"):
            config.pop(key, None)
        for step in config["history"]:
            del step["created"]
        config["config"].pop("Image")
        configs.append(config)
    theirs, ours = configs
    assert ours.pop("comment", None) == ours["history"][-1].get("comment")
    theirs.pop("comment", None)
    assert ours == theirs


def config_of(archive: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:

        def content(name: str) -> Any:
            found = opened.extractfile(name)
            assert found
            return json.load(found)

        config: dict[str, Any] = content(content("manifest.json")[0]["Config"])
        return config


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
