"""When a step is done again and when it is not: docker's BuildKit and ferry say the same."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.built import make_base

pytestmark = [pytest.mark.peer, pytest.mark.slow]

Edit = Callable[[Path], object]


class Case(NamedTuple):
    """A Dockerfile, and what is changed before it is built again: it, the files, the flags."""

    before: str
    after: str = ""
    edit: Edit = lambda folder: None
    flags: Sequence[str] = ()
    more_flags: Sequence[str] = ()


def write(name: str, text: str = "changed") -> Edit:
    return lambda folder: (folder / name).write_text(text)


def relink(folder: Path) -> None:
    (folder / "links/l").unlink()
    (folder / "links/l").symlink_to("elsewhere")


SECRET = ("--secret", "id=s,src=secret")
CASES = {
    "content": Case("COPY a /x", edit=write("a")),
    "time": Case("COPY a /x", edit=lambda folder: os.utime(folder / "a", (1, 1))),
    "mode": Case("COPY a /x", edit=lambda folder: (folder / "a").chmod(0o600)),
    "mode of a folder within": Case("COPY d /x", edit=lambda folder: (folder / "d/e").chmod(0o700)),
    "another file": Case("COPY a /x", edit=write("b")),
    "a file more": Case("COPY . /x", edit=write("new")),
    "a file less": Case("COPY d /x", edit=lambda folder: (folder / "d/y").unlink()),
    "an ignored file": Case("COPY . /x", edit=write("ignored")),
    "a pattern": Case("COPY *.txt /x/", edit=write("n.txt")),
    "a pattern that does not match": Case("COPY *.txt /x/", edit=write("n.md")),
    "where a link leads": Case(
        "COPY links /x", edit=relink
    ),
    "an empty folder more": Case("COPY d /x", edit=lambda folder: (folder / "d/n").mkdir()),
    "name of the source": Case("COPY a /x", "COPY same /x"),
    "folder of the source": Case("COPY d/y /x", "COPY d/e/y /x"),
    "destination": Case("COPY a /x", "COPY a /y"),
    "owner": Case("COPY a /x", "COPY --chown=1:2 a /x"),
    "chmod": Case("COPY a /x", "COPY --chmod=755 a /x"),
    "add": Case("COPY a /x", "ADD a /x"),
    "words in the file": Case("COPY <<E /x\n1\nE", "COPY <<E /x\n2\nE"),
    "command": Case("RUN true", "RUN true # more"),
    "blanks": Case("RUN  true  a", "RUN true  a"),
    "lines": Case("RUN true a", "RUN true \\\n# comment\na"),
    "json": Case("RUN true", 'RUN ["/bin/sh", "-c", "true"]'),
    "here-document": Case("RUN <<E\ntrue\nE", "RUN <<E\ntrue 1\nE"),
    "env before run": Case("ENV v=1\nRUN true", "ENV v=2\nRUN true"),
    "env before copy": Case("ENV v=1\nCOPY a /x", "ENV v=2\nCOPY a /x"),
    "env in another order": Case("ENV v=1\nENV w=2\nRUN true", "ENV w=2\nENV v=1\nRUN true"),
    "env that is set again": Case("ENV v=1\nRUN true", "ENV v=2\nENV v=1\nRUN true"),
    "label before run": Case("LABEL v=1\nRUN true", "LABEL v=2\nRUN true"),
    "cmd before run": Case("CMD a\nRUN true", "CMD b\nRUN true"),
    "expose and so on": Case(
        "RUN true", "EXPOSE 1\nVOLUME /v\nSTOPSIGNAL 9\nONBUILD RUN x\nRUN true"
    ),
    "user": Case("USER 1\nRUN true", "USER 2\nRUN true"),
    "user before copy": Case("USER 1\nCOPY a /x", "USER 2\nCOPY a /x"),
    "workdir before run": Case("WORKDIR /tmp\nRUN true", "WORKDIR /etc\nRUN true"),
    "shell": Case("RUN true", 'SHELL ["/bin/sh", "-ec"]\nRUN true'),
    "arg": Case("ARG v\nRUN true", flags=("--build-arg", "v=1"), more_flags=("--build-arg", "v=2")),
    "arg that is not declared": Case("RUN true", more_flags=("--build-arg", "v=2")),
    "arg after run": Case("RUN true\nARG v", more_flags=("--build-arg", "v=2")),
    "arg before copy": Case("ARG v\nCOPY a /x", more_flags=("--build-arg", "v=2")),
    "arg in copy": Case("ARG v=x\nCOPY a /$v", more_flags=("--build-arg", "v=y")),
    "default of an arg": Case("ARG v=1\nRUN true", "ARG v=2\nRUN true"),
    "proxy": Case("RUN true", more_flags=("--build-arg", "HTTP_PROXY=http://x")),
    "secret": Case(
        "RUN --mount=type=secret,id=s true", edit=write("../secret"), flags=SECRET
    ),
    "id of a secret": Case(
        "RUN --mount=type=secret,id=s true", "RUN --mount=type=secret,id=t true", flags=SECRET
    ),
    "cache mount": Case(
        "RUN --mount=type=cache,target=/c true", "RUN --mount=type=cache,target=/d true"
    ),
    "bind mount": Case("RUN --mount=source=d,target=/m true", edit=write("d/y")),
    "bind mount, another file": Case("RUN --mount=source=d,target=/m true", edit=write("b")),
    "network": Case("RUN true", "RUN --network=none true"),
    "a stage that makes the same": Case(
        "FROM base AS s\nRUN echo 1 > /s\nFROM base\nCOPY --from=s /s /x",
        "FROM base AS s\nRUN echo 2 > /t; echo 1 > /s\nFROM base\nCOPY --from=s /s /x",
    ),
    "a stage that makes something else": Case(
        "FROM base AS s\nRUN echo 1 > /s\nFROM base\nCOPY --from=s /s /x",
        "FROM base AS s\nRUN echo 2 > /s\nFROM base\nCOPY --from=s /s /x",
    ),
    "another stage": Case(
        "FROM base AS s\nFROM base AS t\nFROM base\nCOPY --from=s /etc/more /x",
        "FROM base AS s\nFROM base AS t\nFROM base\nCOPY --from=t /etc/more /x",
    ),
    "what is before": Case("RUN echo 1 > /1\nCOPY a /x", "RUN echo 2 > /1\nCOPY a /x"),
    "no cache": Case("RUN true", more_flags=("--no-cache",)),
}  # fmt: skip


# A change that docker's client does not send, so that the image has what was before.
UNSEEN = ("mode of a folder within",)


def make_files(folder: Path) -> None:
    for name in ("a", "b", "same", "d/y", "d/e/y", "ignored", "m.txt", "links/target"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("same")
    (folder / "links/l").symlink_to("target")
    (folder / ".dockerignore").write_text("ignored\n.dockerignore\nDockerfile\n")


@pytest.fixture(scope="module")
def ferry_too(
    buildkit: Command, busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory
) -> Ferry:
    return make_base(buildkit, busybox_tar, tmp_path_factory.mktemp("builders"))


def last_is_cached(shown: str) -> bool:
    """Tell whether the last step of a build, as plain progress has it, came from the cache."""
    numbers = [
        line.split()[0]
        for line in shown.splitlines()
        if line.startswith("#") and line.partition("] ")[2].startswith(("RUN", "COPY", "ADD"))
    ]
    return f"{numbers[-1]} CACHED" in shown


@pytest.mark.parametrize("name", CASES)
def test_reused(name: str, buildkit: Command, ferry_too: Ferry, tmp_path: Path) -> None:
    case = CASES[name]
    folder = tmp_path / "context"
    folder.mkdir()
    make_files(folder)
    (tmp_path / "secret").write_text("s")

    def text(lines: str) -> str:
        # Each case stands on something of its own: the cache has what the others have left.
        own = f"FROM base AS base-own\nRUN echo '{name}' > /case\n"
        return own + (
            lines.replace("base", "base-own") if "FROM" in lines else f"FROM base-own\n{lines}"
        )

    def built(builder: Command | Ferry, lines: str, flags: Sequence[str]) -> str:
        (folder / "Dockerfile").write_text(text(lines))
        given = [each.replace("src=", f"src={tmp_path}/") for each in flags]
        done = builder.run("build", "--progress", "plain", "--network", "none", *given, folder)
        return done.stderr.decode()

    for builder in (buildkit, ferry_too):
        built(builder, case.before, case.flags)
    case.edit(folder)
    lines = case.after or case.before
    flags = [*case.flags, *case.more_flags] if case.flags != case.more_flags else case.flags
    theirs, ours = (built(builder, lines, flags) for builder in (buildkit, ferry_too))
    if name in UNSEEN:
        assert (last_is_cached(ours), last_is_cached(theirs)) == (False, True)
    else:
        assert last_is_cached(ours) == last_is_cached(theirs), theirs
    shutil.rmtree(folder)
