"""What a user at a terminal sees of docker and of ferry, key by key."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.command import Command
from tests.containers.test_life import until
from tests.ferry import Ferry
from tests.terminal import Terminal

pytestmark = pytest.mark.peer

IMAGE = "ferry-test/terminals:1"
DETACH = "\x10\x11"
READ = "echo on; read -r line; echo read $line; exit 3"


@pytest.fixture(scope="module")
def docked(dockerd: Command, busybox_tar: Path) -> Iterator[Command]:
    dockerd.run("import", "-c", "ENV PATH=/bin", busybox_tar, IMAGE)
    yield dockerd
    dockerd.run("image", "rm", "-f", IMAGE)


def play(command: Command, words: Sequence[str], keys: str, *, begins: str = "on") -> list[object]:
    """Type keys when a command has begun; return what it showed, its exit code, and traces."""
    terminal = Terminal(command, *words)
    try:
        terminal.until(begins)
        until(lambda: terminal.is_raw)
        terminal.type(keys)
        code = terminal.ended()
        return [
            terminal.shown.replace("\r", "").strip(),
            code,
            terminal.settings == terminal.before,
        ]
    finally:
        terminal.close()


def test_keys(docked: Command, box: Ferry) -> None:
    seen = []
    for engine, image in ((docked, IMAGE), (box.at(None), "box:1")):
        run = ("run", "--network", "none", "-it")
        one = ("--name", "one", image, "sh", "-c", READ)
        two = ("--name", "two", image, "sh", "-c", READ)
        host = ("run", "--network", "none", "-d", "--name", "host", image, "sleep", "1000")
        engine.run(*host)
        seen.append(
            [
                play(engine, (*run, *one), "hello\r"),
                play(engine, ("start", "-ai", "one"), "again\r"),
                play(engine, (*run, "--detach-keys", "a,b", *two), "ab"),
                play(engine, ("attach", "two"), "\r", begins=""),
                play(engine, ("start", "-ai", "two"), DETACH),
                play(engine, ("attach", "two"), DETACH, begins=""),
                play(engine, ("start", "-ai", "two"), "z\r", begins=""),
                play(engine, ("exec", "-it", "host", "sh", "-c", READ), "there\r"),
                play(engine, ("exec", "-it", "host", "sh", "-c", READ), DETACH),
                play(engine, (*run, "--rm", image, "sh", "-c", READ), "\x03"),
                engine.run("inspect", "-f", "{{.State.ExitCode}}", "one", "two").stdout,
            ]
        )
        engine.run("rm", "-f", "one", "two", "host")
    for docker, ferry in zip(*seen, strict=True):
        assert ferry == docker
