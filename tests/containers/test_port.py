"""``ferry port``."""

import re

import pytest

from tests.containers.networks import IMAGE, failed
from tests.ferry import Ferry


def test_ports(box: Ferry) -> None:
    flags = ("-p", "127.0.0.1::80", "-p", "::53/udp", "-p", "127.0.0.1::9000-9001")
    box("run", "-d", "--name", "one", *flags, IMAGE, "sleep", "1000")
    lines = box.text("port", "one").splitlines()
    assert [line.partition(" -> ")[0] for line in lines] == [
        *("53/udp", "80/tcp", "9000/tcp", "9001/tcp"),
    ]
    assert re.fullmatch(r"53/udp -> 0\.0\.0\.0:\d+", lines[0])
    shown = lines[1].removeprefix("80/tcp -> ")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", shown)
    assert box.text("port", "one", "80") == box.text("container", "port", "one", "80/tcp") == shown
    for asked, message in (
        ("80/udp", "No public port '80/udp' published for one"),
        ("81", "No public port '81' published for one"),
        ("x", 'invalid port (x): strconv.ParseUint: parsing "x": invalid syntax'),
        (
            "99999",
            'invalid port (99999): strconv.ParseUint: parsing "99999": value out of range',
        ),
    ):
        assert failed(box, "port", "one", asked) == f"Error: {message}"
    box("stop", "-t", "0", "one")
    assert box.text("port", "one") == ""
    assert failed(box, "port", "one", "80").endswith("No public port '80' published for one")


@pytest.mark.parametrize("network", ["none", "host"])
def test_where_nothing_is_published(box: Ferry, network: str) -> None:
    box("run", "-d", "--name", "one", "--network", network, IMAGE, "sleep", "1000")
    assert box.text("port", "one") == ""


def test_of_what_there_is_not(ferry: Ferry) -> None:
    assert failed(ferry, "port", "nope") == "Error: No such container: nope"
