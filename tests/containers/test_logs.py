"""logs: all that a container said, as it says it, and as long as it is kept."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.test_life import RUN, said, until
from tests.ferry import Ferry
from tests.test_memory import MEASURE

LINES = 1_000_000
NUMBERED = f"awk 'BEGIN {{ for (i = 0; i < {LINES}; i++) printf \"%099d\\n\", i }}'"
LIMIT = 60 << 10
"""Of ferry's memory, in KiB."""


@pytest.mark.slow
def test_following_100_megabytes(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "talks", "box:1", "sh", "-c", NUMBERED)
    command = [sys.executable, "-c", MEASURE, *box.at(None).argv, "logs", "-f", "talks"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    found, size = hashlib.sha256(), 0
    while block := process.stdout.read(1 << 20):
        found.update(block)
        size += len(block)
    code, memory = process.stderr.read().decode().split()
    process.wait()
    wanted = hashlib.sha256()
    for first in range(0, LINES, 10_000):
        wanted.update(b"".join(b"%099d\n" % number for number in range(first, first + 10_000)))
    assert size == LINES * 100
    assert found.digest() == wanted.digest()
    assert code == "0"
    assert int(memory) < LIMIT
    assert box.text("wait", "talks") == "0"


def test_following_ends_with_the_container(box: Ferry) -> None:
    script = "echo one; until test -e /go; do sleep 0.05; done; printf two; exit 3"
    box(*RUN, "-d", "--rm", "--name", "short", "box:1", "sh", "-c", script)
    follower = box.popen("logs", "-f", "short")
    assert follower.stdout
    assert follower.stdout.readline() == b"one\n"
    box("exec", "short", "touch", "/go")
    assert follower.communicate(timeout=30) == (b"two", b"")
    assert follower.returncode == 0


def test_streams_and_what_is_no_part_of_it(box: Ferry) -> None:
    script = "echo out; echo err >&2; printf part; sleep 0.2; echo ial; sleep 1000"
    box(*RUN, "-d", "--name", "two", "box:1", "sh", "-c", script)
    box("exec", "two", "echo", "not in the log")
    until(lambda: b"partial" in box("logs", "two").stdout)
    done = box("logs", "two")
    assert (done.stdout, done.stderr) == (b"out\npartial\n", b"err\n")


def test_of_a_terminal(box: Ferry) -> None:
    box(*RUN, "-t", "--name", "tty", "box:1", "sh", "-c", "echo out; echo err >&2")
    done = box("container", "logs", "tty")
    assert (done.stdout, done.stderr) == (b"out\r\nerr\r\n", b"")


def test_each_start_adds_to_it(box: Ferry) -> None:
    box("create", "--network", "none", "--name", "again", "box:1", "echo", "more")
    assert box("logs", "again").stdout == b""
    for count in (1, 2):
        box("start", "-a", "again")
        assert box("logs", "again").stdout == b"more\n" * count


def test_a_line_that_does_not_end(box: Ferry) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf end"
    box(*RUN, "--name", "long", "box:1", "sh", "-c", script)
    assert box("logs", "long").stdout == b"x" * 3_000_000 + b"\nend"
    assert box("logs", "-n", "1", "long").stdout == b"end"
    assert box("logs", "-n", "2", "long").stdout == b"x" * 3_000_000 + b"\nend"


def test_it_does_not_outgrow_its_limit(box: Ferry) -> None:
    script = 'i=0; while [ $i -lt 5000 ]; do echo "line $i"; i=$((i + 1)); done'
    flags = ("--log-opt", "max-size=20k", "--log-opt", "max-file=2")
    box(*RUN, *flags, "--name", "small", "box:1", "sh", "-c", script)
    (log,) = (box.root / "containers").glob("*/log")
    assert 0 < log.stat().st_size <= 40_000
    lines = box("logs", "small").stdout.decode().splitlines()
    assert lines == [f"line {number}" for number in range(5000 - len(lines), 5000)]
    assert not (log.parent / "log.tmp").exists()


def test_following_one_that_begins_anew(box: Ferry) -> None:
    """Slowly enough, nothing of it is missed."""
    script = 'i=0; while [ $i -lt 40 ]; do echo "line $i"; i=$((i + 1)); sleep 0.02; done'
    flags = ("--log-opt", "max-size=1k", "--name", "anew")
    box(*RUN, "-d", *flags, "box:1", "sh", "-c", f"until test -e /go; do sleep 0.1; done; {script}")
    follower = box.popen("logs", "-f", "anew")
    log: Path = next((box.root / "containers").glob("*/log"))
    until(lambda: _is_open(follower.pid, log))
    box("exec", "anew", "touch", "/go")
    shown, _ = follower.communicate(timeout=60)
    assert shown.decode().splitlines() == [f"line {number}" for number in range(40)]
    assert log.stat().st_size <= 1000


def _is_open(pid: int, path: Path) -> bool:
    return any(fd.resolve() == path for fd in Path(f"/proc/{pid}/fd").iterdir())


def test_none_is_kept(box: Ferry) -> None:
    done = box(*RUN, "--name", "mute", "--log-driver", "none", "box:1", "echo", "heard")
    assert done.stdout == b"heard\n"
    assert said(box, "logs", "mute", code=1) == (
        "Error: configured logging driver does not support reading"
    )
    form = "{{.HostConfig.LogConfig.Type}}{{.LogPath}}"
    assert box.text("inspect", "-f", form, "mute") == "none"
    assert not list((box.root / "containers").glob("*/log"))
