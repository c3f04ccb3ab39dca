"""The same Dockerfiles, built by docker (its classic builder) and by ferry.

The trees are the same file by file, and so are the configs; times and the IDs that come of them are
not, and of what is new since the classic builder it knows nothing.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command
from tests.ferry import Ferry

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
    """Files of all kinds."""
    folder = tmp_path_factory.mktemp("context")
    for name, text in {
        "a": "a", "b.txt": "b", "c.txt": "c", "d/x": "x", "d/e/y": "y", "s p": "s",
        "modes/600": "", "modes/755": "", "modes/f/x": "", "no.tar": "no tar",
        "links/to": "", "odd/\udcff\n": "", "odd/" + "n" * 200: "", "linked/one": "1",
    }.items():  # fmt: skip
        path = os.fsencode(folder) + b"/" + os.fsencode(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    (folder / "modes/600").chmod(0o600)
    (folder / "modes/755").chmod(0o755)
    (folder / "modes/f").chmod(0o1700)
    (folder / "link").symlink_to("a")
    (folder / "links/abs").symlink_to("/etc/notes")
    (folder / "links/rel").symlink_to("to")
    (folder / "linked/two").hardlink_to(folder / "linked/one")
    (folder / "empty").mkdir()
    for suffix in ("", ".gz", ".xz", ".bz2"):
        with tarfile.open(folder / f"t.tar{suffix}", f"w:{suffix[1:]}") as tar:  # type: ignore[call-overload]
            for name, owner in (("in", 3), ("dir/in", 4)):
                member = tarfile.TarInfo(name)
                member.size, member.uid, member.gid, member.mode = 2, owner, owner, 0o640
                tar.addfile(member, io.BytesIO(b"in"))
    return folder


@pytest.fixture(scope="module")
def builders(
    dockerd: Command, busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Command, Ferry]:
    """docker and ferry, with the same image ``base`` in both."""
    folder = tmp_path_factory.mktemp("builders")
    ferry = Ferry(folder / "store")
    tree = folder / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-xf", busybox_tar, "-C", tree], check=True)
    (tree / "etc/more").mkdir()
    (tree / "etc/more/file").write_text("more")
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    packed = subprocess.run(["tar", "-C", tree, "-c", "."], check=True, stdout=subprocess.PIPE)
    ferry("import", "-c", "ENV PATH=/bin LANG=C", "-c", "CMD sh", "-", "base", input=packed.stdout)
    saved = ferry("save", "base").stdout
    dockerd.run("load", "-q", input=saved)
    return dockerd, ferry


Seen = dict[str, tuple[Any, ...]]


def tree_of(ferry: Ferry, image: str, root: Path | None = None) -> Seen:
    """Return all files of an image, each with what of it must be the same."""
    found: Seen = {}
    inodes: dict[str, str] = {}
    exported = ferry("image", "export", image, root=root).stdout
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        for member in tar:
            name = member.name
            content = ""
            if member.isfile():
                file = tar.extractfile(member)
                assert file
                content = hashlib.sha256(file.read()).hexdigest()
                inodes[name] = content
            elif member.islnk():
                content = inodes[member.linkname]
            kind = tarfile.REGTYPE if member.islnk() else member.type
            link = member.linkname if member.issym() else ""
            found[name] = (kind, oct(member.mode), member.uid, member.gid, link, content)
    return found


# Of the classic builder's own making, and of no meaning to whoever runs the image.
_ITS_OWN = ("Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr", "Tty",
            "OpenStdin", "StdinOnce", "ArgsEscaped")  # fmt: skip


def config_of(ferry: Ferry, image: str, root: Path | None = None) -> dict[str, Any]:
    inspected = json.loads(ferry("inspect", image, root=root).stdout)[0]
    config = {key: value for key, value in inspected["Config"].items() if value}
    for key in _ITS_OWN:
        config.pop(key, None)
    return {**config, "Author": inspected.get("Author", "")}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_build(name: str, builders: tuple[Command, Ferry], context: Path, tmp_path: Path) -> None:
    docker, ferry = builders
    folder = tmp_path / "context"
    shutil.copytree(context, folder, symlinks=True)
    # copytree makes two files of a link.
    (folder / "linked/two").unlink()
    (folder / "linked/two").hardlink_to(folder / "linked/one")
    text = DOCKERFILES[name]
    lines = text if text.startswith("FROM") else f"FROM base\n{text}\n"
    if text.startswith("#"):
        lines = f"{text}\nFROM base\nRUN echo a `\n  > /a\nENV b=\\c\n"
    (folder / "Dockerfile").write_text(lines)
    (folder / ".dockerignore").write_text(IGNORED.get(name, ""))
    flags = ("--network", "none", "--build-arg", "one=1", "--label", "given=1", folder)
    theirs = docker.text("build", "-q", *flags)
    ours = ferry.text("build", "-q", *flags)
    other = tmp_path / "other"
    ferry("load", "-q", root=other, input=docker.run("save", theirs).stdout)
    # In a store of its own, where its ID is the name that it has.
    if DIFFERENT.get(name) != "config":
        assert config_of(ferry, ours) == config_of(ferry, theirs, other)
    if DIFFERENT.get(name) != "tree":
        assert tree_of(ferry, ours) == tree_of(ferry, theirs, other)
