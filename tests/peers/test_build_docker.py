"""The same Dockerfiles, built by docker (its classic builder) and by ferry.

The trees are the same file by file, and so are the configs; times and the IDs that come of them are
not, and of what is new since the classic builder it knows nothing.
"""

from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.built import both, make_base, make_context

pytestmark = [pytest.mark.peer, pytest.mark.slow]

DOCKERFILES = {
    "env": "ENV a=1 b=$a\nENV c=${a:-x} d=${none:-y} e=${a:+z} f=\"q r\" g='$a' h=\\$a\nENV i j k",
    "arg": "ARG one\nARG two=2\nENV a=$one b=$two c=${three:-3}",
    "arg and env": "ARG a=1\nENV a=2\nRUN echo $a > /a",
    "label": "LABEL a=1 \"b c\"=\"d e\" f='g'\nLABEL a=2",
    "expose": "EXPOSE 80 90/udp 100-102/tcp\nARG p=7\nEXPOSE $p",
    "volume": 'VOLUME /v\nVOLUME ["/w", "/x y"]\nENV p=/z\nVOLUME $p',
    "user": "USER 7:8\nRUN id > /dev/null; ! touch /no",
    "workdir": "WORKDIR /a/b\nWORKDIR c\nENV d=e\nWORKDIR $d/../f\nRUN pwd > here",
    "workdir of a user": "USER 7\nWORKDIR /a/b",
    "cmd": "CMD a b",
    "cmd json": 'CMD ["a", "b c"]',
    "entrypoint": "CMD x\nENTRYPOINT a b",
    "entrypoint takes the command away": 'ENTRYPOINT ["a"]',
    "entrypoint then cmd": 'ENTRYPOINT ["a"]\nCMD ["b"]',
    "shell": 'SHELL ["/bin/sh", "-ec"]\nRUN echo $0 > /a\nCMD x',
    "stopsignal": "STOPSIGNAL SIGUSR1",
    "healthcheck": "HEALTHCHECK --interval=1m --timeout=2s --retries=3 CMD a b",
    "healthcheck json": 'HEALTHCHECK CMD ["a", "b"]',
    "healthcheck none": "HEALTHCHECK CMD a\nHEALTHCHECK NONE",
    "maintainer": "MAINTAINER somebody <a@b>",
    "onbuild": "ONBUILD RUN echo hi\nONBUILD COPY a /b",
    "run": "RUN echo 1 > /1 && mkdir /d && chmod 700 /d && ln -s /1 /d/l && ln /1 /d/h",
    "run json": 'RUN ["/bin/sh", "-c", "echo $HOME > /h"]',
    "run in parts": "RUN echo a \\\n  # comment\n  b \\\n\n  > /a",
    "run and remove": "RUN rm /etc/notes && mkdir /etc/notes && rm -r /etc/more; mkdir /etc/more",
    "run with modes": "RUN touch /s && chmod 4755 /s && chown 3:4 /s && chmod 2750 /etc && umask",
    "copy a file": "COPY a /new",
    "copy into a folder": "COPY a b.txt /new/",
    "copy over a file": "COPY a /etc/notes",
    "copy a folder": "COPY d /new",
    "copy a folder over another": "COPY d/ /etc/",
    "copy all": "COPY . /all",
    "copy by patterns": "COPY *.txt d/?* /new/",
    "copy relative": "WORKDIR /w\nCOPY a .\nCOPY a b/\nCOPY d ./e",
    "copy with spaces": 'COPY ["s p", "/n w/"]',
    "copy owned": "COPY --chown=5:6 d /new\nCOPY --chown=5 a /five\nCOPY --chown=root:7 a /root",
    "copy variables": "ARG f=a\nENV t=/new\nCOPY $f ${t}/${f}.x",
    "copy a link": "COPY link /new\nCOPY links /links",
    "copy through a link": "RUN ln -s /etc /e\nCOPY a /e/\nCOPY a /e/deep/er",
    "copy modes": "COPY modes /modes",
    "add": "ADD a /new\nADD d /new2/",
    "add a tar": "ADD t.tar /t\nADD t.tar.gz /z/\nADD t.tar.xz /x\nADD t.tar.bz2 /b",
    "add what is no tar": "ADD no.tar /t/",
    "stages": "RUN echo 1 > /one\nFROM base\nCOPY --from=0 /one /two\nRUN echo 3 > /three",
    "stages by name": "RUN echo 1 > /one\nFROM base AS b\nRUN echo 2 > /two\nFROM b\n"
    "COPY --from=b /two /etc/ /new/",
    "a stage from a stage": "ENV a=1\nFROM base AS x\nENV b=2\nUSER 7\nFROM x\nENV c=3",
    "an image as a source": "COPY --from=base /etc /copied",
    "a stage that is not needed": "RUN echo 1 > /1\nFROM base\nRUN echo 2 > /2",
    "scratch": "FROM scratch\nCOPY a /\nCMD [\"/a\"]",
    "many": "ENV a=1\nWORKDIR /w\nCOPY d .\nRUN echo $a > out\nUSER 7\nEXPOSE 1\nVOLUME /v\n"
    "LABEL l=1\nENTRYPOINT [\"e\"]\nCMD [\"c\"]\nSTOPSIGNAL 9",
    "escape": "# escape=`",
    "odd names": "COPY odd /odd",
    "ignored": "COPY . /x",
    "links between files": "COPY linked /linked",
    "empty": "RUN true\nCOPY empty /empty\nWORKDIR /etc",
}  # fmt: skip
IGNORED = {"ignored": "*\n!d\nd/x\n!*.txt\n# a\n"}
# What the classic builder does otherwise, and docker's current one as ferry does.
DIFFERENT = {
    # It gives a folder that WORKDIR makes to root.
    "workdir of a user": "tree",
    # It leaves the folder to whoever runs it.
    "scratch": "config",
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    make_context(folder)
    return folder


@pytest.fixture(scope="module")
def ferry_too(
    dockerd: Command, busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory
) -> Ferry:
    return make_base(dockerd, busybox_tar, tmp_path_factory.mktemp("builders"))


def text_of(name: str) -> str:
    """Return a whole Dockerfile."""
    text = DOCKERFILES[name]
    if text.startswith("#"):
        return f"{text}\nFROM base\nRUN echo a `\n  > /a\nENV b=\\c\n"
    return text if text.startswith("FROM") else f"FROM base\n{text}\n"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_build(
    name: str, dockerd: Command, ferry_too: Ferry, context: Path, tmp_path: Path
) -> None:
    ignored = IGNORED.get(name, "")
    ours, theirs = both(dockerd, ferry_too, context, tmp_path, text_of(name), ignored)
    if DIFFERENT.get(name) != "config":
        assert ours.config == theirs.config
    if DIFFERENT.get(name) != "tree":
        assert ours.tree == theirs.tree
