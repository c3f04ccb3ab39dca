import os
from pathlib import Path

import pytest

from ferryman.store import below
from ferryman.store.durable import remove

DEPTH = 2100


def test_files_below(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "one").write_bytes(b"x" * 10)
    (tmp_path / "a/two").write_bytes(b"x" * 200)
    os.link(tmp_path / "a/two", tmp_path / "a/b/linked")
    (tmp_path / "a/link").symlink_to("/etc")
    Path(os.fsdecode(bytes(tmp_path) + b"/a/\xff")).write_bytes(b"x" * 3000)
    assert below.size(str(tmp_path)) == 10 + 200 + len("/etc") + 3000


def test_of_what_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert below.size(str(tmp_path / "nothing")) == 0
    assert below.size(str(tmp_path / "file")) == 0


@pytest.mark.parametrize("name", ["d", "a long name " * 20])
def test_deeper_than_a_path_can_say(tmp_path: Path, name: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(DEPTH):
            os.mkdir(name, dir_fd=fd)
            deeper = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = deeper
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        os.truncate(f"/proc/self/fd/{fd}/file", 7)
    finally:
        os.close(fd)
    try:
        assert below.size(str(tmp_path)) == 7
        # Whoever stops in between leaves nothing open.
        next(iter(below.files(str(tmp_path))))
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        remove(str(tmp_path / name))
