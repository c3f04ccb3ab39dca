"""A user at a terminal: what is typed and shown, resized, interrupted, and left again."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.containers.test_life import RUN, state, until
from tests.ferry import Ferry
from tests.terminal import Terminal

AT_TERMINAL = (*RUN, "-it")
PROMPT = "# "
DETACH = "\x10\x11"
TRAP = "trap 'echo asked; exit 9' TERM; echo on; while :; do sleep 0.1; done"

Sit = Callable[..., Terminal]


@pytest.fixture
def sit(box: Ferry) -> Iterator[Sit]:
    """Starts ``ferry`` at a terminal of its own; at the end each must be as it was before."""
    terminals: list[Terminal] = []

    def down(*args: str, rows: int = 24, columns: int = 80) -> Terminal:
        terminals.append(Terminal(box.at(None), *args, rows=rows, columns=columns))
        return terminals[-1]

    yield down
    settings = [(terminal.settings, terminal.before) for terminal in terminals]
    for terminal in terminals:
        terminal.close()
    for after, before in settings:
        assert after == before


def ask(terminal: Terminal, line: str, answer: str) -> None:
    """Type a line at a prompt, and wait for what it prints and for the next prompt."""
    terminal.type(f"{line}\r")
    terminal.until(rf"\n{answer}\r\n")
    terminal.until(PROMPT)


def test_a_shell(sit: Sit) -> None:
    shell = sit(*AT_TERMINAL, "--rm", "box:1", "sh")
    shell.until(PROMPT)
    assert shell.is_raw
    ask(shell, "tty", "/dev/(pts/0|console)")
    ask(shell, "echo $((6 * 7))", "42")
    shell.type("exit 7\r")
    assert shell.ended() == 7
    # What was typed came back once: from the terminal within.
    assert shell.shown.count("6 * 7") == 1


def test_sizes(sit: Sit) -> None:
    shell = sit(
        *AT_TERMINAL, "--rm", "box:1", "sh", "-c", "stty size; exec sh", rows=31, columns=77
    )
    shell.until(r"^31 77\r\n")
    shell.until(PROMPT)
    shell.resize(43, 99)
    changed = "while [ \"$(stty size)\" != '43 99' ]; do sleep 0.1; done; echo is $(stty size)"
    ask(shell, changed, "is 43 99")
    shell.type("\x04")
    assert shell.ended() == 0


def test_a_program_that_sees_the_right_size_is_not_told_of_another(sit: Sit) -> None:
    script = "trap 'echo changed' WINCH; echo on; read -r line; echo over"
    reader = sit(*AT_TERMINAL, "--rm", "box:1", "sh", "-c", script)
    reader.until("on\r\n")
    reader.type("\r")
    reader.until("over")
    assert reader.ended() == 0
    assert "changed" not in reader.shown


def test_ctrl_c_is_for_the_program(sit: Sit) -> None:
    shell = sit(*AT_TERMINAL, "--rm", "box:1", "sh")
    shell.until(PROMPT)
    shell.type("sh -c 'echo begun; exec sleep 1000'\r")
    shell.until(r"\nbegun\r\n")
    shell.type("\x03")
    shell.until(PROMPT)
    ask(shell, "echo code $?", "code 130")
    shell.type("\x04")
    assert shell.ended() == 0


def test_leaving_and_coming_back(box: Ferry, sit: Sit) -> None:
    shell = sit(*AT_TERMINAL, "--name", "stays", "box:1", "sh")
    shell.until(PROMPT)
    shell.type("kept=here\r")
    shell.until(PROMPT)
    shell.type(DETACH)
    assert shell.ended() == 0
    assert "escape" not in shell.shown
    assert state(box, "stays")["Running"]

    again = sit("attach", "stays", rows=40, columns=100)
    again.type("\r")
    again.until(PROMPT)
    ask(again, "echo $kept", "here")
    ask(again, "stty size", "40 100")
    for rows in range(10, 30):
        again.resize(rows, 100)
    ask(again, "while [ \"$(stty size)\" != '29 100' ]; do sleep 0.1; done; echo ok", "ok")
    again.type(DETACH)
    assert again.ended() == 1
    assert again.shown.endswith("read escape sequence\r\n")
    assert state(box, "stays")["Running"]

    last = sit("attach", "--detach-keys", "ctrl-x,x", "stays")
    last.type("\r")
    last.until(PROMPT)
    # The beginning of the sequence is the program's when the rest does not follow.
    last.type("sh -c 'echo on; head -n 1 | od -An -tx1'\r")
    last.until("\non\r\n")
    last.type("\x10\x18y\r")
    last.until("\n 10 18 79 0a\r\n")
    last.until(PROMPT)
    last.type("exit 5\r")
    assert last.ended() == 5
    assert state(box, "stays")["ExitCode"] == 5


def test_start_and_attach(box: Ferry, sit: Sit) -> None:
    box("create", "-it", "--network", "none", "--name", "again", "box:1", "sh")
    for code in (3, 4):
        shell = sit("start", "-ai", "again", rows=30, columns=90)
        shell.until(PROMPT)
        ask(shell, "stty size", "30 90")
        shell.type(f"exit {code}\r")
        assert shell.ended() == code
    shell = sit("start", "-ai", "--detach-keys", "ctrl-a", "again")
    shell.until(PROMPT)
    shell.type("\x01")
    assert shell.ended() == 0
    assert state(box, "again")["Running"]
    # It runs: there is nothing to be started, but it is attached to.
    shell = sit("start", "-ai", "again")
    shell.type("\r")
    shell.until(PROMPT)
    shell.type("exit 6\r")
    assert shell.ended() == 6


def test_exec(box: Ferry, sit: Sit) -> None:
    box(*RUN, "-d", "--name", "host", "box:1", "sleep", "1000")
    size = sit("exec", "-it", "host", "stty", "size", rows=31, columns=77)
    assert size.ended() == 0
    assert size.shown == "31 77\r\n"

    shell = sit("exec", "-it", "host", "sh")
    shell.until(PROMPT)
    shell.resize(43, 99)
    ask(shell, "while [ \"$(stty size)\" != '43 99' ]; do sleep 0.1; done; echo ok", "ok")
    shell.type("sh -c 'echo begun; exec sleep 1000'\r")
    shell.until(r"\nbegun\r\n")
    shell.type("\x03")
    shell.until(PROMPT)
    ask(shell, "echo code $?", "code 130")
    shell.type("exit 7\r")
    assert shell.ended() == 7

    left = sit("exec", "-it", "host", "sh", "-c", "echo on; exec sleep 1001")
    left.until("on\r\n")
    left.type(DETACH)
    assert left.ended() == 1
    assert left.shown.endswith("read escape sequence\r\n")
    assert "sleep 1001" in box.text("exec", "host", "ps")


def test_signals_are_passed_on(box: Ferry, sit: Sit) -> None:
    asked = sit(*AT_TERMINAL, "--rm", "box:1", "sh", "-c", TRAP)
    asked.until("on\r\n")
    asked.process.send_signal(signal.SIGTERM)
    assert asked.ended() == 9
    assert "asked" in asked.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_ferry_is_killed(box: Ferry, sit: Sit, number: signal.Signals) -> None:
    """Its terminal is as it was; the container goes on."""
    run = sit(*AT_TERMINAL, "--sig-proxy=false", "--name", "goes-on", "box:1", "sh", "-c", TRAP)
    run.until("on\r\n")
    assert run.is_raw
    commands = [run, sit("attach", "goes-on"), sit("exec", "-it", "goes-on", "sh")]
    commands[2].until(PROMPT)
    until(lambda: commands[1].is_raw)
    for command in commands:
        os.kill(command.process.pid, number)
        assert command.ended() == 128 + number
        assert not command.is_raw
    assert state(box, "goes-on")["Running"]


def test_signals_without_a_terminal(box: Ferry) -> None:
    for flags, code in (((), 9), (("--sig-proxy=false",), 143)):
        run = box.popen(*RUN, *flags, "--name", f"n{code}", "box:1", "sh", "-c", TRAP)
        assert run.stdout
        assert run.stdout.readline() == b"on\n"
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == code
        run.communicate()
        assert state(box, f"n{code}")["Running"] == (code == 143)


@pytest.mark.parametrize("command", ["run", "exec", "attach"])
def test_no_terminal_where_one_is_needed(box: Ferry, command: str) -> None:
    box(*RUN, "-dit", "--name", "there", "box:1", "sh")
    words = {
        "run": (*AT_TERMINAL, "--rm", "box:1", "true"),
        "exec": ("exec", "-it", "there", "true"),
        "attach": ("attach", "there"),
    }[command]
    done = box(*words, input=b"x\n", check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == "Error: the input device is not a TTY\n"


def test_a_terminal_without_input(box: Ferry) -> None:
    done = box(*RUN, "-t", "--rm", "box:1", "sh", "-c", "echo out; echo err >&2", input=b"none")
    assert (done.stdout, done.stderr) == (b"out\r\nerr\r\n", b"")
