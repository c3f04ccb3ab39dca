"""Export reads layers and what was written over them: the same as what is mounted."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.test_life import until
from tests.ferry import Ferry

# What export does where the layers' tars are not at hand.
MOUNTED = """
import os, sys
from ferryman.archive.write import FileSink
from ferryman.rootfs.pack import pack
from ferryman.runtime import record
from ferryman.runtime.filesystem import seen
from ferryman.runtime.finish import settled
from ferryman.store.layout import open_store

store = open_store(sys.argv[1])
container = record.find(store, sys.argv[2])
with open(sys.argv[3], "wb") as out, seen(store, container, settled(store, container)) as path:
    pack(os.open(path, os.O_RDONLY), FileSink(out.fileno()))
"""

CHANGES = """
touch /new && echo more >> /etc/notes && chmod 600 /etc/notes
rm -r /home && mkdir /home && echo in > /home/in
mkdir -p /deep/er && ln /new /deep/link && ln -s /new /deep/er/symlink
rm /bin/awk; mkfifo /deep/fifo; mknod /deep/device c 1 3; chown 3:4 /deep; chmod 2750 /deep
mv /etc/notes /etc/moved; echo 1 > '/deep/o
dd'; head -c 300000 /dev/zero > /deep/large
"""


def mounted(box: Ferry, name: str, out: Path) -> bytes:
    words = [sys.executable, "-c", MOUNTED, str(box.root), name, str(out)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return out.read_bytes()


@pytest.mark.parametrize("storage", ["erofs", "extract"])
def test_what_is_mounted_and_what_is_not(box: Ferry, tmp_path: Path, storage: str) -> None:
    run = ("run", "--network", "none", "--storage", storage, "-v", "/vol")
    box(*run, "--name", "ended", "box:1", "sh", "-c", CHANGES)
    box(*run, "-d", "--name", "runs", "box:1", "sh", "-c", f"{CHANGES}\necho done; sleep 1000")
    until(lambda: "done" in box.text("logs", "runs"))
    for name in ("ended", "runs"):
        want = mounted(box, name, tmp_path / name)
        assert box("export", name).stdout == want
        box("export", "-o", tmp_path / "file", name)
        assert (tmp_path / "file").read_bytes() == want


def test_over_several_layers(box: Ferry, tmp_path: Path) -> None:
    box("run", "--network", "none", "--name", "first", "box:1", "sh", "-c", CHANGES)
    box("commit", "first", "box:2")
    again = "rm -r /deep/er /home/in; mkdir /deep/er; touch /home/out /etc/notes; ln /new /newer"
    box("run", "--network", "none", "--name", "second", "box:2", "sh", "-c", again)
    assert box("export", "second").stdout == mounted(box, "second", tmp_path / "want")


def test_what_has_never_been_started(box: Ferry, tmp_path: Path) -> None:
    box("create", "--name", "created", "box:1")
    first = box("export", "created").stdout
    assert first == mounted(box, "created", tmp_path / "want")
    assert box("export", "created").stdout == first
