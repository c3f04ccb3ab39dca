"""What flows through pipes into containers and out of them: all of it, and nothing else."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.containers.test_life import RUN, state, until
from tests.ferry import Ferry
from tests.test_memory import MEASURE

MIB = 1 << 20
LIMIT = 60 << 10
"""Of ferry's memory, in KiB."""


def blocks(count: int) -> Iterator[bytes]:
    """Yield so many MiB, each of other bytes."""
    pool = os.urandom(2 * MIB)
    for number in range(count):
        begin = number * 4099 % MIB
        yield b"%16d" % number + pool[begin : begin + MIB - 16]


class Flow(threading.Thread):
    """Writes blocks to a pipe, and sums them up on the way."""

    def __init__(self, to: IO[bytes], count: int) -> None:
        super().__init__()
        self.to, self.count = to, count
        self.sum = hashlib.sha256()

    def run(self) -> None:
        with self.to:
            for block in blocks(self.count):
                self.sum.update(block)
                self.to.write(block)


def summed(stream: IO[bytes]) -> str:
    found = hashlib.sha256()
    while block := stream.read(MIB):
        found.update(block)
    return found.hexdigest()


def to_and_fro(box: Ferry, count: int, *words: str) -> None:
    """Send so many MiB through a container's cat; they come back, and ferry stays small."""
    command = [sys.executable, "-c", MEASURE, *box.at(None).argv, *words, "cat"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    flow = Flow(process.stdin, count)
    flow.start()
    assert summed(process.stdout) == _sum(flow)
    code, memory = process.stderr.read().decode().split()
    process.wait()
    assert code == "0"
    assert int(memory) < LIMIT


def _sum(flow: Flow) -> str:
    flow.join()
    return flow.sum.hexdigest()


@pytest.mark.slow
def test_a_gigabyte_through_run(box: Ferry) -> None:
    to_and_fro(box, 1000, *RUN, "--rm", "-i", "box:1")


@pytest.mark.slow
def test_200_megabytes_through_exec(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "host", "box:1", "sleep", "1000")
    to_and_fro(box, 200, "exec", "-i", "host")


@pytest.mark.parametrize("how", ["run", "exec"])
def test_output_and_errors_are_kept_apart(box: Ferry, how: str) -> None:
    box(*RUN, "-d", "--name", "host", "box:1", "sleep", "1000")
    given = b"".join(blocks(8))
    script = "tee /dev/stderr; echo over; echo wrong >&2; exit 3"
    words = (*RUN, "--rm", "-i", "box:1") if how == "run" else ("exec", "-i", "host")
    done = box(*words, "sh", "-c", script, input=given, check=False)
    assert done.stdout == given + b"over\n"
    assert done.stderr == given + b"wrong\n"
    assert done.returncode == 3


def test_input_ends_and_output_goes_on(box: Ferry) -> None:
    script = "cat > /dev/null; sleep 0.3; echo after"
    for words in ((*RUN, "--rm", "-i"), (*RUN, "--rm", "-i", "--init")):
        assert box(*words, "box:1", "sh", "-c", script, input=b"x" * MIB).stdout == b"after\n"


def test_input_that_nobody_reads(box: Ferry) -> None:
    done = box(*RUN, "--rm", "-i", "box:1", "sh", "-c", "echo no", input=b"x" * 8 * MIB)
    assert done.stdout == b"no\n"


def test_no_input_without_i(box: Ferry) -> None:
    assert box(*RUN, "--rm", "box:1", "cat", input=b"not for it\n").stdout == b""


def test_the_reader_goes(box: Ferry) -> None:
    """As with docker: whoever ran it is told, the container goes on."""
    script = "head -c 2000000 /dev/zero; while ! test -e /over; do sleep 0.1; done"
    box(*RUN, "-d", "--name", "host", "box:1", "sleep", "1000")
    for name, words in (
        ("kept", (*RUN, "--name", "kept", "box:1")),
        ("gone", (*RUN, "--rm", "--name", "gone", "box:1")),
        ("host", ("exec", "host")),
    ):
        process = box.popen(*words, "sh", "-c", script)
        assert process.stdout
        assert process.stdout.read(10) == bytes(10)
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == b"Error: write /dev/stdout: broken pipe\n"
        assert process.wait(30) == 1
        assert state(box, name)["Running"]
    for name in ("kept", "gone"):
        box("exec", name, "touch", "/over")
    assert box.text("wait", "kept") == "0"
    until(lambda: "gone" not in box.text("ps", "-a", "--format", "{{.Names}}"))


def test_no_room_for_the_output(box: Ferry) -> None:
    with Path("/dev/full").open("wb") as full:
        done = box(*RUN, "--rm", "box:1", "echo", "x", stdout=full, check=False)
    assert done.returncode == 1
    assert done.stderr == b"Error: write /dev/stdout: no space left on device\n"


def test_attaching_to_some_streams_only(box: Ferry) -> None:
    script = "echo out; echo err >&2; cat"
    for streams, seen in (
        (("stdout",), (b"out\n", b"")),
        (("stderr",), (b"", b"err\n")),
        (("stdin", "stdout"), (b"out\nin\n", b"")),
    ):
        flags = [word for stream in streams for word in ("-a", stream)]
        if "stdin" in streams:
            flags.append("-i")
        done = box(*RUN, "--rm", *flags, "box:1", "sh", "-c", script, input=b"in\n")
        assert (done.stdout, done.stderr) == seen


def test_input_of_a_container_that_runs(box: Ferry) -> None:
    """What one command brings reaches it; the next may bring more, as long as it is interactive."""
    box(*RUN, "-d", "-i", "--name", "reads", "box:1", "sh", "-c", "read a; read b; echo $a $b")
    first = box.popen("attach", "reads", stdin=subprocess.PIPE)
    assert first.stdin
    first.stdin.write(b"one\n")
    first.stdin.flush()
    assert json.loads(box.text("inspect", "reads"))[0]["Config"]["OpenStdin"]
    second = box("attach", "reads", input=b"two\n")
    assert second.stdout == b"one two\n"
    assert first.communicate()[0] == b"one two\n"
