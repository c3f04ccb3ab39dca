"""Cp: what it does beyond docker, and what a container may try.  See also tests/peers."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.containers.test_life import RUN, said
from tests.ferry import Ferry


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return opened.getnames()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_text("of the host\n")
    return made


def test_owners(box: Ferry, tmp_path: Path, file: Path) -> None:
    os.chown(file, 5, 6)
    box("create", *RUN[1:], "--name", "plain", "box:1", "ls", "-n", "/file")
    box("create", *RUN[1:], "--name", "anns", "--user", "ann", "box:1", "ls", "-n", "/file")
    for container, flags, owner in (
        ("plain", (), "5 6"),
        ("plain", ("-a",), "5 6"),
        ("anns", (), "5 6"),
        ("anns", ("-a",), "1000 1001"),
    ):
        box("cp", *flags, file, f"{container}:/file")
        assert " ".join(box.text("start", "-a", container).split()[2:4]) == owner
    for flags, want in ((), (0, 0)), (("-a",), (1000, 1001)):
        box("cp", *flags, "anns:/file", tmp_path / "back")
        status = os.stat(tmp_path / "back")
        assert (status.st_uid, status.st_gid) == want


def test_before_the_first_start(box: Ferry, file: Path) -> None:
    mounts = ("--volume", "named:/home", "--volume", "/new/volume")
    script = "ls /home /new/volume; cat /new/volume/file"
    box("create", *RUN[1:], "--name", "waits", *mounts, "box:1", "sh", "-c", script)
    box("cp", file, "waits:/home/")
    box("cp", file, "waits:/new/volume/")
    words = box.text("start", "-a", "waits").split("\n")
    assert words == ["/home:", "ann", "file", "", "/new/volume:", "file", "of the host"]


def test_links_stay_inside(box: Ferry, tmp_path: Path, file: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    up = "../" * 30
    script = f"""
        mkdir -p /w{outside} {outside}; cd /w
        ln -s {outside} absolute; ln -s {up}{outside} relative; ln -s {outside}/new new
        ln -s / root; ln -s {up}etc etc
        touch /ready; sleep 100
    """
    box(*RUN, "-d", "--name", "sly", "box:1", "sh", "-c", script)
    while box("cp", "sly:/ready", "-", check=False).returncode:
        pass
    for at in ("absolute", "relative", "absolute/one", "relative/two", "new", "root/three"):
        box("cp", file, f"sly:/w/{at}")
    tree = box.text("exec", "sly", "find", "/tmp", "/var", "/three", "-type", "f")
    made = (f"{outside}/{name}" for name in ("file", "new", "one", "two"))
    assert sorted(tree.split()) == sorted(["/three", *made])
    assert not list(outside.iterdir())
    assert names(box("cp", "sly:/w/etc/", "-").stdout).count("etc/notes") == 1
    assert names(box("cp", "-L", "sly:/w/root", "-").stdout).count("three") == 1
    # A link is copied as such, wherever it leads.
    box("cp", "sly:/w", tmp_path / "copy")
    assert os.readlink(tmp_path / "copy/relative") == f"{up}{outside}"


@pytest.mark.parametrize("running", [True, False])
def test_what_is_mounted(box: Ferry, tmp_path: Path, file: Path, running: bool) -> None:
    flags = ("--volume", "/data", "--volume", f"{file}:/bound:ro", "--tmpfs", "/tmp")
    script = "echo 1 > /data/of-volume; echo 1 > /tmp/of-tmpfs; sleep 100"
    box(*RUN, "-d", "--name", "holds", "-h", "its-name", *flags, "box:1", "sh", "-c", script)
    while box("cp", "holds:/data/of-volume", "-", check=False).returncode:
        pass
    if not running:
        box("stop", "-t", "0", "holds")
    content = box("cp", "holds:/", "-").stdout
    found = names(content)
    assert {"data/of-volume", "bound", "etc/hosts", "proc", "tmp"} <= set(found)
    assert not [name for name in found if name.startswith(("proc/", "sys/", "tmp/"))]
    box("cp", "holds:/etc/hostname", tmp_path / "name")
    assert (tmp_path / "name").read_text() == "its-name\n"
    box("cp", "holds:/bound", tmp_path / "bound")
    assert (tmp_path / "bound").read_text() == "of the host\n"
    assert said(box, "cp", str(file), "holds:/bound", code=1) == (
        "Error: mounted volume is marked read-only"
    )


def test_read_only(box: Ferry, file: Path) -> None:
    box("create", *RUN[1:], "--name", "firm", "--read-only", "-v", "/data", "box:1", "ls", "/data")
    line = said(box, "cp", str(file), "firm:/etc", code=1)
    assert line == "Error: container rootfs is marked read-only"
    box("cp", file, "firm:/data")
    assert box.text("start", "-a", "firm") == "file"


def test_tars(box: Ferry, tmp_path: Path) -> None:
    box("create", *RUN[1:], "--name", "takes", "box:1", "find", "/tmp", "-type", "f")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        # Whiteouts are names like others where no layer is meant.
        for name in ("plain", ".wh.x", "deep/.wh..wh..opq"):
            archive.addfile(tarfile.TarInfo(name))
    box("cp", "-", "takes:/tmp", input=content.getvalue())
    box("cp", "-", "takes:/tmp", input=b"")
    words = box.text("start", "-a", "takes").split()
    assert sorted(words) == ["/tmp/.wh.x", "/tmp/deep/.wh..wh..opq", "/tmp/plain"]
    line = box("cp", "-", "takes:/tmp", input=b"garbage\n", check=False).stderr.decode()
    assert line == "Error: stdin is not a tar archive, or truncated: it has 8 bytes\n"


def test_words(box: Ferry, tmp_path: Path, file: Path) -> None:
    box("create", *RUN[1:], "--name", "told", "box:1")
    assert box("cp", file, "told:/tmp").stderr == b""
    line = box("cp", "--quiet=false", file, "told:/tmp/").stderr.decode()
    assert line == "Successfully copied 12B to told:/tmp/\n"
    line = box("cp", "--quiet=false", "told:/tmp/file", f"{tmp_path}/./new").stderr.decode()
    assert line == f"Successfully copied 12B to {tmp_path}/new\n"
    for args, words in (
        (("", "told:/"), "source can not be empty"),
        (("told:/", ""), "destination can not be empty"),
        ((file, "new"), "must specify at least one container source"),
        (("told:/a", "told:/b"), "copying between containers is not supported"),
        (("nobody:/a", "new"), "No such container: nobody"),
        ((file, "told:/dev/null/x"), "Could not find the file /dev/null in container told"),
    ):
        assert said(box, "cp", *map(str, args), code=1) == f"Error: {words}"


def test_a_link_that_leads_nowhere(box: Ferry, file: Path) -> None:
    script = "ln -s loop /loop; ln -s /gone/for/good /lost"
    box(*RUN, "--name", "lost", "box:1", "sh", "-c", script)
    line = said(box, "cp", str(file), "lost:/loop", code=1)
    assert line == "Error: lstat /loop: too many levels of symbolic links"
    line = said(box, "cp", str(file), "lost:/lost", code=1)
    assert line == "Error: Could not find the file /gone/for in container lost"
