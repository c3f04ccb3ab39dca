"""logs prints what docker prints of the same program."""

import re
from pathlib import Path

import pytest

from tests.command import Command
from tests.containers.test_life import until
from tests.ferry import Ferry

pytestmark = pytest.mark.peer

IMAGE = "ferry-test/logs:1"
# Moments apart, so that the streams have an order.
SCRIPT = """
echo one; sleep 0.3; echo two >&2; sleep 0.3; printf par; sleep 0.3; echo tial; echo
sleep 0.3; echo four; head -c 9000 /dev/zero | tr '\\0' x; echo; sleep 0.3; printf end
"""
LABELS = ("--label", "a=1", "--label", "b=2 3", "--label", "c=4", "-e", "X=y")
DETAILS = ("--log-opt", "labels=a,b", "--log-opt", "env=X,Z")
TIME = re.compile(rb"^[-0-9]{10}T[:0-9]{8}\.[0-9]{9}Z", re.MULTILINE)

Engine = Command | Ferry
Both = tuple[Engine, Engine]


@pytest.fixture
def both(dockerd: Command, box: Ferry, busybox_tar: Path) -> Both:
    """docker and ferry, with containers that have said the same."""
    dockerd.run("import", "-c", "ENV PATH=/bin", busybox_tar, IMAGE)
    for engine, image in ((dockerd, IMAGE), (box, "box:1")):
        run = ("run", "-d", "--network", "none")
        engine.run(*run, "--name", "plain", image, "sh", "-c", SCRIPT)
        engine.run(*run, "--name", "tty", "-t", image, "sh", "-c", SCRIPT)
        engine.run(*run, "--name", "told", *LABELS, *DETAILS, image, "sh", "-c", SCRIPT)
    until(lambda: not dockerd.text("ps", "-q"))
    until(lambda: not box.text("ps", "-q"))
    return dockerd, box


def times(engine: Engine) -> list[str]:
    """When each line of the output was said."""
    shown = engine.run("logs", "-t", "plain").stdout
    return [time.decode() for time in TIME.findall(shown)]


def test_logs(both: Both) -> None:
    moments = [times(engine) for engine in both]
    assert len(moments[0]) == len(moments[1]) == 6
    for options in (
        "plain",
        "tty",
        "-f plain",
        "-f tty",
        "-n 0 plain",
        "-n 1 plain",
        "-n 2 plain",
        "-n 4 plain",
        "--tail -1 plain",
        "--tail all plain",
        "--tail much plain",
        "-n 3 tty",
        "-t plain",
        "-t tty",
        "-t --details told",
        "--details told",
        "--details plain",
        "--details -n 2 tty",
        "--since T1 plain",
        "--since T3 plain",
        "--until T1 plain",
        "--until T3 plain",
        "--since T1 --until T3 plain",
        "--since 1h plain",
        "--until 1h plain",
        "--since 2000-01-02 plain",
        "--since 2099-01-02T03:04:05 plain",
        "-f --until 2020-01-01 plain",
        "--since never plain",
        "--until soon plain",
        "nobody",
        "-f nobody",
    ):
        seen = []
        for engine, known in zip(both, moments, strict=True):
            words = re.sub(r"T(\d) ", lambda match, t=known: f"{t[int(match[1])]} ", options)
            done = engine.run("logs", *words.split(), check=False)
            output = TIME.sub(b"TIME", done.stdout), TIME.sub(b"TIME", done.stderr)
            seen.append((output[0], _words(output[1]), done.returncode))
        assert seen[1] == seen[0], options


def _words(errors: bytes) -> bytes:
    return errors.removeprefix(b"Error response from daemon: ").removeprefix(b"Error: ")


@pytest.mark.parametrize(
    "options",
    [
        "--log-opt foo=1",
        "--log-opt max-size=abc",
        "--log-opt max-size=0",
        "--log-opt max-file=0",
        "--log-opt max-file=x",
        "--log-opt mode=foo",
        "--log-driver none --log-opt foo=1",
    ],
)
def test_options_of_a_log_that_cannot_be(dockerd: Command, box: Ferry, options: str) -> None:
    run = ("run", "--rm", "--network", "none", *options.split())
    if dockerd.run("image", "inspect", IMAGE, check=False).returncode:
        dockerd.run("import", "-", IMAGE, input=bytes(1024))
    theirs = dockerd.run(*run, IMAGE, "true", check=False)
    ours = box.run(*run, "box:1", "true", check=False)
    first = theirs.stderr.decode().splitlines()[0].removeprefix("docker: ").encode()
    assert _words(ours.stderr).decode().strip() == _words(first).decode()
    assert ours.returncode == theirs.returncode == 125
