"""What ``import --change`` says of a container's files holds when they are run: as docker has it.

The files are those of an exported container.  Each instruction alone, then all of them.
"""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.command import Command
from tests.containers.test_life import until
from tests.ferry import Ferry

pytestmark = pytest.mark.peer

IMAGE = "ferry-test/starts:1"
PATH = "ENV PATH=/bin"


class Case(NamedTuple):
    """An instruction, flags and words of ``run``, and what the container prints."""

    change: str
    words: tuple[str, ...]
    prints: str
    flags: tuple[str, ...] = ()


CASES = [
    Case('CMD ["sh", "-c", "echo by command; exit 3"]', (), "by command"),
    Case("CMD echo of $0", (), "of /bin/sh"),
    Case('ENTRYPOINT ["echo", "entry"]', ("and", "words"), "entry and words"),
    Case("ENTRYPOINT echo shell", ("ignored",), "shell"),
    Case("ENV A='two words' B=2", ("sh", "-c", "echo $A:$B"), "two words:2"),
    Case("EXPOSE 8080 53/udp", ("echo", "exposed"), "exposed"),
    Case("HEALTHCHECK --interval=1h CMD true", ("echo", "well"), "well"),
    Case("LABEL a=b", ("echo", "labelled"), "labelled"),
    Case("ONBUILD RUN nothing", ("echo", "later"), "later"),
    Case("USER ann", ("sh", "-c", "id; echo $HOME; touch /etc/x"), "uid=1000(ann)"),
    Case("USER 5:6", ("id",), "uid=5 gid=6"),
    Case(
        "VOLUME /etc /data",
        ("sh", "-c", "cut -d' ' -f2 /proc/mounts | grep -xE '/etc|/data' | sort; ls /etc"),
        "/data",
    ),
    Case("WORKDIR /new/place", ("sh", "-c", "pwd; stat -c %u:%a ."), "/new/place\n0:755"),
]
STOPSIGNAL = "STOPSIGNAL USR1"  # docker 20 does not take it
ALL = (
    PATH,
    "ENV GREETING='hello there' B=2",
    'ENTRYPOINT ["sh", "-c"]',
    'CMD ["trap \\"exit 7\\" USR1; httpd -h /www -p 8080; touch /www/up; sleep 1000 & wait"]',
    "EXPOSE 8080",
    "HEALTHCHECK --interval=200ms CMD test -e /www/up",
    "LABEL kept=yes",
    "ONBUILD RUN nothing",
    "USER ann:sailors",
    "VOLUME /www /data",
    "WORKDIR /new/place",
)
PROBE = """
    grep -E '^(Uid|Gid|Groups|SigCgt)' /proc/1/status; readlink /proc/1/cwd
    tr '\\0' '\\n' < /proc/1/cmdline; tr '\\0' '\\n' < /proc/1/environ | grep -v HOSTNAME | sort
    cut -d' ' -f2 /proc/mounts | grep -xE '/www|/data' | sort; ls /www
"""


def flags(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--change", change)]


def config(engine: Command | Ferry, image: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(engine.text("image", "inspect", image))[0]["Config"]
    return described


@pytest.fixture(scope="module")
def exported(busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a container, as ferry exports them."""
    at = tmp_path_factory.mktemp("starts")
    ferry = Ferry(at / "store")
    ferry("import", *flags(PATH), busybox_tar, IMAGE)
    script = "mkdir /www && echo hello > /www/index.html && chown -R ann /www"
    ferry("run", "--network", "none", "--name", "origin", IMAGE, "sh", "-c", script)
    ferry("export", "--output", at / "files.tar", "origin")
    ferry("rm", "origin")
    return at / "files.tar"


@pytest.fixture(scope="module")
def both(
    dockerd: Command, exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Command, Command]]:
    """docker and ferry."""
    ferry = Ferry(tmp_path_factory.mktemp("again") / "store").at(None)
    yield dockerd, ferry
    for engine in (dockerd, ferry):
        if left := engine.text("ps", "--all", "--quiet").split():
            engine.run("rm", "--force", "--volumes", *left)
    dockerd.run("rmi", "--force", IMAGE, check=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.change)
def test_alone(both: tuple[Command, Command], exported: Path, case: Case) -> None:
    seen = []
    for engine in both:
        engine.run("import", *flags(PATH, case.change), exported, IMAGE)
        done = engine.run("run", "--rm", "--network", "none", IMAGE, *case.words, check=False)
        seen.append((done.returncode, done.stdout.decode(), config(engine, IMAGE)))
    theirs, ours = seen
    assert case.prints in ours[1]
    assert ours == theirs


def test_all_together(both: tuple[Command, Command], exported: Path, tmp_path: Path) -> None:
    docker, ferry = both
    refused = docker.run("import", *flags(STOPSIGNAL), exported, IMAGE, check=False).returncode
    for engine in both:
        engine.run("import", *flags(*ALL, *(() if refused else (STOPSIGNAL,))), exported, IMAGE)
    assert config(ferry, IMAGE) == config(docker, IMAGE)

    ferry.run("import", *flags(*ALL, STOPSIGNAL), exported, IMAGE)
    before = config(ferry, IMAGE)
    first = behaviour(ferry, "first")
    assert "Uid:\t1000\t" in first
    assert "Gid:\t50\t" in first
    assert "\n/new/place\n" in first
    assert "\nGREETING=hello there\n" in first
    assert "\n/data\n/www\n" in first
    assert first.endswith("\nindex.html\nup\n")

    # Its files say nothing of all that: they come back with the same changes, or the settings.
    files = tmp_path / "files.tar"
    ferry.run("export", "--with-config", "--output", files, "first")
    for name, how in (
        ("changed", flags(*ALL, STOPSIGNAL)),
        ("whole", ["--config-from", f"{files}.config.json"]),
    ):
        ferry.run("import", *how, files, IMAGE)
        assert config(ferry, IMAGE) == before
        assert behaviour(ferry, name) == first


def behaviour(ferry: Command, name: str) -> str:
    """Run the image and return what is seen inside, having tried what can only be tried."""
    ferry.run("run", "--detach", "--publish-all", "--hostname", "same", "--name", name, IMAGE)

    def healthy() -> bool:
        said = ferry.text("inspect", "--format", "{{.State.Health.Status}}", name)
        return said == "healthy"

    until(healthy)
    assert ferry.text("ps", "--quiet", "--filter", "label=kept=yes", "--filter", f"name={name}")
    address = ferry.text("port", name, "8080").splitlines()[0]
    assert page(int(address.rpartition(":")[2])).endswith("hello\n")
    seen = ferry.text("exec", name, "sh", "-c", PROBE)
    ferry.run("stop", name)
    assert ferry.text("inspect", "--format", "{{.State.ExitCode}}", name) == "7"
    return seen + "\n"


def page(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with connection.makefile(encoding="utf-8") as answer:
            return answer.read()
