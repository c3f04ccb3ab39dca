"""What is done when a container has ended that somebody waits for."""

import subprocess
import sys
from pathlib import Path

from ferryman.runtime import afterwards


def command(pid: int, folder: Path) -> list[str]:
    program = [sys.executable, "-I", "-S", afterwards.__file__]
    return [*program, str(pid), str(folder), "/bin/echo", "cleaning up"]


def called(pid: int, folder: Path) -> str:
    """Return what the command for the end of a container says."""
    done = subprocess.run(command(pid, folder), stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def test_nothing_when_the_container_is_taken_away(tmp_path: Path) -> None:
    script = f"read line; rmdir {tmp_path}/container"
    folder = tmp_path / "container"
    folder.mkdir()
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE) as waiting:
        with subprocess.Popen(command(waiting.pid, folder), stdout=subprocess.PIPE) as looking:
            waiting.communicate(b"go\n")
            assert looking.communicate()[0] == b""
    assert looking.returncode == 0


def test_the_command_when_whoever_waited_has_died(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as waiting:
        waiting.wait()
        assert called(waiting.pid, tmp_path) == "cleaning up\n"


def test_the_command_when_whoever_waits_takes_its_time(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "100"]) as waiting:
        try:
            assert called(waiting.pid, tmp_path) == "cleaning up\n"
        finally:
            waiting.kill()
