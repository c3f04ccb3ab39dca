"""Trees as tars, however deep they are and whatever becomes of them meanwhile."""

import io
import os
import resource
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferryman.archive.write import HashedSink
from ferryman.rootfs.pack import pack, walk
from tests.rootfs.seen import apart

DEPTH = 1500


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder with others in each other, a file beside each."""
    top = tmp_path / "deep"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=fd)
        os.close(os.open("z", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    yield top
    subprocess.run(["rm", "-r", top], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="mounts of its own take root")
def test_deeper_than_files_may_be_open(deep: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tar"

    def packed() -> int:
        # Whoever runs the tests has files open, too.
        few = len(os.listdir("/proc/self/fd")) + 250
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))
        with out.open("wb") as f:
            root = os.open(deep, os.O_RDONLY)
            pack(root, HashedSink(f.fileno()))
        return len(os.listdir("/proc/self/fd"))

    before = apart(lambda: len(os.listdir("/proc/self/fd")))
    assert apart(packed) == before + 1
    with tarfile.open(fileobj=io.BytesIO(out.read_bytes())) as archive:
        names = archive.getnames()
    folders = ["d/" * (n + 1) for n in range(DEPTH)]
    files = ["d/" * n + "z" for n in range(DEPTH)]
    assert names == [name.rstrip("/") for name in folders] + files[::-1]


def test_a_folder_that_moves_meanwhile(deep: Path, tmp_path: Path) -> None:
    """What was above it is not looked for elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").touch()
    root = os.open(deep, os.O_RDONLY)
    found = []
    for entry in walk(root):
        found.append(entry.path)
        if len(found) == DEPTH:
            os.rename(deep / "d/d/d/d", tmp_path / "elsewhere/d")
    os.close(root)
    assert not any(b"secret" in path for path in found)
    assert found[DEPTH] == b"d/" * (DEPTH - 1) + b"z"
    assert found[-1] == b"z"
    os.rename(tmp_path / "elsewhere/d", deep / "d/d/d/d")
