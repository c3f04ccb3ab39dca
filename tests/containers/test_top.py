"""top: processes of a container by ps(1) of the host."""

import shutil

import pytest

from tests.containers.test_life import RUN, said, until
from tests.ferry import Ferry


@pytest.fixture
def busy(box: Ferry) -> Ferry:
    """A container named busy with three processes, and one that does not run."""
    if shutil.which("ps") is None:
        pytest.skip("ps is not installed")
    script = "sleep 1001 & sleep 1002 & echo ready; wait"
    box(*RUN, "-d", "--name", "busy", "box:1", "sh", "-c", script)
    box("create", "--name", "still", "box:1")
    until(lambda: "ready" in box.text("logs", "busy"))
    return box


def test_the_processes_and_no_others(busy: Ferry) -> None:
    header, *rows = busy.text("top", "busy").splitlines()
    assert header.split() == "UID PID PPID C STIME TTY TIME CMD".split()
    assert header.startswith("UID                 PID                 PPID")
    assert [row.split(maxsplit=7)[-1] for row in rows] == [
        "sh -c sleep 1001 & sleep 1002 & echo ready; wait",
        "sleep 1001",
        "sleep 1002",
    ]


def test_commands_executed_in_it_are_among_them(busy: Ferry) -> None:
    busy("exec", "-d", "busy", "sleep", "1003")
    shown = busy.text("container", "top", "busy", "-o", "pid,args").splitlines()
    assert shown[0].split() == ["PID", "COMMAND"]
    # Numbers begin anew at some time: the last one is not always the highest.
    assert "sleep 1003" in [line.split(maxsplit=1)[1] for line in shown[1:]]


def test_options_of_ps(busy: Ferry) -> None:
    assert len(busy.text("top", "busy", "aux").splitlines()) == 4
    threads = busy.text("top", "busy", "-efm").splitlines()
    assert [line.split()[1] == "-" for line in threads[1:]] == [False, True] * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "No such container: nobody"),
        (["busy", "-o", "cmd"], "Couldn't find PID field in ps output"),
        (["busy", "-o", "pid", "-o", "ppid=PID"], 'specifying "ppid=PID" is not allowed'),
        (["busy", "--foo"], "ps: error: unknown gnu long option"),
    ],
)
def test_what_cannot_be_listed(busy: Ferry, words: list[str], message: str) -> None:
    assert said(busy, "top", *words, code=1) == f"Error: {message}"


def test_one_that_does_not_run(busy: Ferry) -> None:
    container = busy.text("inspect", "-f", "{{.Id}}", "still")
    message = f"Error: Container {container} is not running"
    assert said(busy, "top", "still", code=1) == message
