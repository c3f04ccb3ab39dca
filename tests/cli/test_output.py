"""Outputs that are closed, full or gone: one line at most, and an exit code that says so."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.archives import docker_25, packed
from tests.ferry import Ferry
from tests.images import small


@pytest.fixture
def full(ferry: Ferry) -> Ferry:
    """A store with an image."""
    ferry("load", input=packed(docker_25(small("one", "one:1"))))
    return ferry


def in_shell(ferry: Ferry, command: str) -> tuple[int, str, str]:
    """Run a command with the shell's redirections; return exit code, output and errors."""
    # Python holds output back as it does for users.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    line = f"{shlex.join(ferry.at(None).argv)} {command}"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, env=env, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "command",
    ["images", "save one:1", "save --compress gzip one:1", "version", "inspect one:1", "--help"],
)
@pytest.mark.parametrize(
    ("redirection", "words"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_cannot_be_written(
    command: str, redirection: str, words: str, full: Ferry
) -> None:
    code, _, errors = in_shell(full, f"{command} {redirection}")
    assert code == 1
    (line,) = errors.splitlines()
    assert line.startswith("Error: ")
    assert words in line


@pytest.mark.parametrize(
    ("command", "code"), [("images", 0), ("save nothing", 1), ("save --none", 125), ("nothing", 1)]
)
def test_errors_that_nobody_wants(command: str, code: int, full: Ferry) -> None:
    ended, said, errors = in_shell(full, f"{command} 2>&-")
    assert ended == code
    assert errors == ""
    assert bool(said) == (code == 0)


@pytest.mark.parametrize("command", ["images", "inspect one:1", "version"])
def test_a_pipe_that_nobody_reads(command: str, full: Ferry) -> None:
    """docker dies of it, as most programs do."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = full(*command.split(), stdout=write, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_nothing_is_written_into_what_is_opened_next(full: Ferry) -> None:
    """A file that is opened gets the number of what is closed: the store's own, for one."""
    before = {p: p.read_bytes() for p in full.root.rglob("*") if p.is_file()}
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        for command in ("images", "tag one:1", "system df", "image prune -f", "tag one:1 sha256:1"):
            in_shell(full, f"{command} {closed}")
    assert {p: p.read_bytes() for p in full.root.rglob("*") if p.is_file()} == before


def test_a_reader_that_has_seen_enough(full: Ferry) -> None:
    code, said, errors = in_shell(full, "inspect one:1 | head -c 1")
    assert (code, said, errors) == (0, "[", "")


def test_save_where_no_file_is_named(full: Ferry, tmp_path: Path) -> None:
    """As with docker, an empty name is none."""
    code, _, errors = in_shell(full, f"save -o '' one:1 > {tmp_path}/out.tar")
    assert (code, errors) == (0, "")
    assert (tmp_path / "out.tar").stat().st_size > 20_000
