"""Fifty containers at once: all of them run and answer, and nothing is left when they have gone."""

from collections.abc import Iterable, Sequence

import pytest

from tests.containers.test_life import until
from tests.machine import Left, Machine, until_equal

pytestmark = pytest.mark.slow

NUMBER = 50
PUBLISHED = 20
FIRST_PORT = 20000
ANSWERS = {f"127.0.0.1:{FIRST_PORT + i}": f"box{i}" for i in range(PUBLISHED)}
NAMES = [f"box{i}" for i in range(NUMBER)]


def at_once(ferry: Machine, commands: Iterable[Sequence[str]]) -> None:
    """Run commands at the same time; all must do what they are told."""
    running = [ferry.popen(*command) for command in commands]
    said = [process.communicate() for process in running]
    codes = [process.returncode for process in running]
    assert codes == [0] * len(running), [errors for _, errors in said if errors]


def start(ferry: Machine, *flags: str) -> None:
    """Start the fifty; the first twenty have a web server that says who it is."""
    script = 'echo "$0" > /tmp/index.html; exec httpd -f -p 80 -h /tmp'
    commands = []
    for i, name in enumerate(NAMES):
        port = ["-p", f"{FIRST_PORT + i}:80"] if i < PUBLISHED else []
        commands.append(
            ["run", "-d", *flags, *port, "--name", name, "box:1", "sh", "-c", script, name]
        )
    at_once(ferry, commands)
    assert ferry.asked(ANSWERS) == ANSWERS
    running = ferry.text("ps", "--format", "{{.Names}}").split()
    assert sorted(running) == sorted(NAMES)


def before(ferry: Machine, *flags: str) -> Left:
    """Look at a machine on which a container has been; what the first one brings stays."""
    ferry("run", "--rm", *flags, "-p", "1080:80", "box:1", "true")
    until(lambda: not ferry.processes())
    return ferry.left()


def test_fifty(alone: Machine) -> None:
    empty = before(alone)
    start(alone)
    addresses = alone.text(
        "inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", *NAMES
    )
    assert len(set(addresses.split())) == NUMBER
    at_once(alone, (["stop", "-t", "1", name] for name in NAMES))
    at_once(alone, (["rm", name] for name in NAMES))
    until_equal(empty, alone.left)


def test_fifty_that_are_ended_in_all_ways(alone: Machine) -> None:
    alone("network", "create", "inner")
    flags = ("--rm", "--network", "inner")
    empty = before(alone, *flags)
    start(alone, *flags)
    ways = (["stop", "-t", "1"], ["kill"], ["rm", "-f"])
    at_once(alone, ([*ways[i % 3], name] for i, name in enumerate(NAMES)))
    until_equal(empty, alone.left)
    assert alone.text("ps", "-aq") == ""
