"""The same Dockerfiles, built by docker with BuildKit and by ferry: tree, config and history."""

from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.built import both, make_base, make_context
from tests.peers.test_build_docker import DOCKERFILES, IGNORED, text_of

pytestmark = [pytest.mark.peer, pytest.mark.slow]

NEW = {
    "here-document": "RUN <<EOF\necho a > /a\necho b > /b\nEOF",
    "here-document, tabs": "RUN <<-EOF\n\techo a > /a\n\tEOF",
    "here-document for a program": "RUN cat <<EOF > /a\n$LANG ${x:-y}\nEOF",
    "here-document, quoted": "RUN cat <<'EOF' > /a\n$LANG\nEOF",
    "here-document as a script": "RUN <<EOF\n#!/bin/sh\necho $0 > /a\nEOF",
    "files in the file": "ARG v=1\nCOPY <<one <<two /new/\n$v\none\n2\ntwo",
    "files in the file, quoted": 'COPY <<"one" /new/x\n$v \\\\\none',
    "files in the file, owned": "COPY --chown=5:6 --chmod=640 <<one /new/\n1\none",
    "chmod": "COPY --chmod=750 d /new\nCOPY --chmod=4711 a /a",
    "link": "COPY --link d /new\nCOPY --link a /new/a",
    "mount bind": "RUN --mount=target=/m cp -r /m/d /d && touch /m/x; true",
    "mount of a folder": "RUN --mount=type=bind,source=d,target=/m/n ls /m/n > /ls",
    "mount from a stage": "RUN echo 1 > /1\nFROM base\n"
    "RUN --mount=from=base,target=/m --mount=type=bind,from=base,source=/etc,target=/e ls /e > /ls",
    "mount cache": "RUN --mount=type=cache,target=/c,id=own touch /c/a && ls /c > /ls",
    "mount cache, owned": "RUN --mount=type=cache,target=/c,id=o2,uid=5,gid=6,mode=0710 "
    "stat -c '%a %u:%g' /c > /ls",
    "mount tmpfs": "RUN --mount=type=tmpfs,target=/t touch /t/a && ls /t > /ls",
    "mount secret that is not there": "RUN --mount=type=secret,id=none ls /run > /ls; true",
    "network none": "RUN --network=none true > /a",
    "workdir of a user": "USER 7\nWORKDIR /a/b",
    "env in one line": "ENV a=1\nENV a=2 b=$a c=${a}\nRUN echo $a$b$c > /abc",
    "arg after env": "ENV a=1\nARG a=2\nRUN echo $a > /a\nENV b=$a",
    "arg of the platform": "ARG TARGETARCH\nARG TARGETOS\nARG BUILDPLATFORM\n"
    "RUN echo $TARGETARCH $TARGETOS $BUILDPLATFORM > /p",
    "global arg": "ARG v=base\nARG w=2\nFROM $v\nARG w\nARG v\nRUN echo $v$w > /vw",
    "patterns": "ENV a=foo.tar.gz\nENV b=${a%.gz} c=${a%%.*} d=${a#*.} e=${a##*.} f=${a/o/0}",
    "copy setuid": "COPY setuid /setuid",
    "copy a pattern of nothing": "COPY nothing* /x/",
    "triggers of a stage": "ONBUILD RUN echo 1 > /1\nFROM base AS x\nONBUILD RUN echo 2 > /2\n"
    "FROM x\nRUN echo 3 > /3",
    "two entry points": 'ENTRYPOINT ["a"]\nCMD ["b"]\nENTRYPOINT ["c"]',
    "shells": 'SHELL ["/bin/sh", "-c"]\nRUN a=1; echo $a > /a\nENTRYPOINT x\nCMD y',
    "a health check that begins": "HEALTHCHECK --start-period=3s --retries=2 CMD x",
    "lines": "RUN echo 1 \\\n\n# c\n > /1\nrun echo 2 > /2\nLabel a=b",
    "stages at once": "RUN echo 1 > /1\nFROM base AS b\nRUN echo 2 > /2\nFROM base\n"
    "COPY --from=0 /1 /\nCOPY --from=b /2 /",
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    make_context(folder)
    (folder / "setuid").write_text("")
    (folder / "setuid").chmod(0o6755)
    return folder


@pytest.fixture(scope="module")
def ferry_too(
    buildkit: Command, busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory
) -> Ferry:
    return make_base(buildkit, busybox_tar, tmp_path_factory.mktemp("builders"))


# Said otherwise by the BuildKit of this docker than by newer ones.
REWORDED = ("ARG", "EXPOSE", "HEALTHCHECK")


def shown(line: str) -> str:
    word = line.partition(" ")[0]
    return word if word in REWORDED else line


@pytest.mark.parametrize("name", [*DOCKERFILES, *NEW])
def test_build(
    name: str, buildkit: Command, ferry_too: Ferry, context: Path, tmp_path: Path
) -> None:
    text = NEW.get(name, "")
    if not text:
        text = text_of(name)
    elif not text.startswith(("ARG v=base", "FROM")):
        text = f"FROM base\n{text}\n"
    ours, theirs = both(buildkit, ferry_too, context, tmp_path, text, IGNORED.get(name, ""))
    assert ours.config == theirs.config
    assert ours.tree == theirs.tree
    assert [shown(line) for line in ours.history] == [shown(line) for line in theirs.history]
