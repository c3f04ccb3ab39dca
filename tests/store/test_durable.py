import os
import resource
import subprocess
from pathlib import Path

import pytest

from ferryman.store import durable


def test_replace_gives_the_whole_content_and_leaves_nothing_aside(tmp_path: Path) -> None:
    target, aside = tmp_path / "file", tmp_path / "aside"
    target.write_bytes(b"before")
    aside.write_bytes(b"what a crash left, longer than the new content")
    durable.replace(str(target), b"after", aside=str(aside), mode=0o600)
    assert target.read_bytes() == b"after"
    assert os.listdir(tmp_path) == ["file"]


def test_who_has_the_old_file_open_keeps_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"before")
    with target.open("rb") as old:
        durable.replace(str(target), b"after", aside=str(tmp_path / "aside"))
        assert old.read() == b"before"


def test_replace_that_fails_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            durable.replace(str(target), b"after", aside=str(tmp_path / "aside"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("content", [b"", b"x", bytes(3 << 20), bytearray(b"ab"), memoryview(b"c")])
def test_write_all_to_a_pipe_that_takes_little_at_a_time(
    tmp_path: Path, content: bytes | bytearray | memoryview
) -> None:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read_end)
        durable.write_all(write_end, content)
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        assert pipe.read() == bytes(content)
    assert os.waitpid(pid, 0)[1] == 0


def test_written_back_changes_nothing_in_the_file(tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    with (tmp_path / "file").open("w+b", buffering=0) as f:
        with durable.written_back(f.fileno()) as write_back:
            for start in range(0, len(content), 1 << 16):
                f.write(content[start : start + (1 << 16)])
                write_back(start, 1 << 16)
        f.seek(0)
        assert f.read() == content


def test_remove_takes_files_folders_and_what_is_not_there(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "deep/er").mkdir(parents=True)
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    (tmp_path / "file").touch()
    for name in ("folder", "file", "never"):
        durable.remove(str(tmp_path / name))
    assert os.listdir(tmp_path) == ["outside"]


def test_remove_what_is_deeper_than_a_path_can_say(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in ["top", *["d"] * 5000]:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=below))
        os.close(fd)
        fd = below
    os.close(fd)
    durable.remove(str(tmp_path / "top"))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.getuid() != 0, reason="to mount takes root")
@pytest.mark.parametrize("where", ["folder/it", "folder/in/it"])
def test_remove_spares_what_is_mounted(tmp_path: Path, where: str) -> None:
    kept, mounted = tmp_path / "kept", tmp_path / where
    kept.mkdir()
    (kept / "file").touch()
    mounted.mkdir(parents=True)
    (tmp_path / "folder/file").touch()
    subprocess.run(["mount", "--bind", kept, mounted], check=True)
    try:
        durable.remove(str(tmp_path / "folder"))
        assert os.listdir(kept) == ["file"]
        assert not (tmp_path / "folder/file").exists()
    finally:
        (left,) = (tmp_path / "folder").rglob("it")
        subprocess.run(["umount", left], check=True)
