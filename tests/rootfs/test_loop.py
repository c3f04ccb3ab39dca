"""Loop devices; they need root."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from ferryman.rootfs import loop

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="loop devices need root")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(8192))
    return file


def opened(file: Path) -> AbstractContextManager[str]:
    return loop.opened(str(file), f"{file}.loop")


def devices(file: Path) -> set[str]:
    """Return the loop devices that are made of a file."""
    found = set()
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().strip() == str(file.resolve()):
                found.add(f"/dev/{backing.parts[3]}")
        except OSError:
            pass  # given back just now
    return found


def gone(file: Path) -> bool:
    """Wait for the kernel, or for others that look at new devices, to be done with one."""
    for _ in range(500):
        if not devices(file):
            return True
        time.sleep(0.01)
    return False


def test_content(file: Path) -> None:
    with opened(file) as device:
        assert Path(device).read_bytes() == file.read_bytes()
        assert devices(file) == {device}
        assert Path(f"/sys/block/{Path(device).name}/ro").read_text() == "1\n"
    assert gone(file)


def test_one_for_all(file: Path) -> None:
    with opened(file) as first, opened(file) as second:
        assert first == second
    assert gone(file)


def test_kept_by_a_later_user(file: Path) -> None:
    with ExitStack() as later:
        with opened(file) as first:
            second = later.enter_context(opened(file))
        assert first == second
        assert Path(second).read_bytes() == file.read_bytes()
    assert gone(file)


def test_another_file_of_the_name(file: Path) -> None:
    with opened(file) as first:
        file.rename(file.with_name("older"))
        file.write_bytes(bytes(4096))
        with opened(file) as second:
            assert first != second
            assert Path(second).read_bytes() == bytes(4096)
    assert gone(file)
    assert gone(file.with_name("older"))


def test_one_that_was_made_otherwise(file: Path) -> None:
    """A device that somebody made of a part of the file is none of the file."""
    made = subprocess.run(
        ["losetup", "-r", "-f", "--show", "--offset=512", file], stdout=subprocess.PIPE, check=True
    )
    other = made.stdout.decode().strip()
    Path(f"{file}.loop").write_text(other.removeprefix("/dev/loop"))
    try:
        with opened(file) as device:
            assert device != other
            assert Path(device).read_bytes() == file.read_bytes()
    finally:
        subprocess.run(["losetup", "-d", other], check=True)
    assert gone(file)


@pytest.mark.parametrize("note", ["", "rubbish", "-1", "99999999999999999999", "1 2", "\0" * 30])
def test_a_note_that_is_wrong(file: Path, note: str) -> None:
    Path(f"{file}.loop").write_text(note)
    with opened(file) as first, opened(file) as second:
        assert first == second
        assert devices(file) == {first}
    assert gone(file)


def test_many_at_once(file: Path) -> None:
    """Whoever comes at the same time gets the same, whoever comes and goes leaves nothing."""

    def use(n: int) -> bool:
        with opened(file) as device:
            return Path(device).read_bytes() == content and devices(file) == {device}

    content = file.read_bytes()
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(use, range(300)))
    assert gone(file)


def test_many_files(tmp_path: Path) -> None:
    def use(n: int) -> bool:
        file = tmp_path / str(n % 20)
        with opened(file) as device:
            return Path(device).read_bytes() == b"%03d" % (n % 20) + bytes(509)

    for n in range(20):
        (tmp_path / str(n)).write_bytes(b"%03d" % n + bytes(509))
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(use, range(200)))
    assert all(gone(tmp_path / str(n)) for n in range(20))


def test_a_killed_user(file: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with opened(file):
            os.write(writing, b"x")
            time.sleep(60)
    os.read(reading, 1)
    assert devices(file)
    os.kill(child, 9)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    assert gone(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), opened(tmp_path / "none"):
        pass
