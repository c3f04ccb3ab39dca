"""``ferry build``: images of Dockerfiles, run and looked into."""

import http.server
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.ferry import Ferry

# A name server and a bridge are what other tests are about, and take their time.
BUILD = ("build", "--network", "none")


class Context:
    """A folder to build from."""

    def __init__(self, box: Ferry, path: Path) -> None:
        self.box = box
        self.path = path
        path.mkdir()

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def build(self, dockerfile: str, *flags: str, check: bool = True) -> str:
        """Build an image of a Dockerfile, and return its ID."""
        self.write("Dockerfile", dockerfile)
        done = self.box(*BUILD, *flags, self.path, check=check)
        return done.stdout.decode().strip()

    def shown(self, dockerfile: str, *flags: str) -> str:
        """Return what is shown of a build."""
        self.write("Dockerfile", dockerfile)
        return self.box(*BUILD, *flags, self.path).stderr.decode()

    def refused(self, dockerfile: str, *flags: str) -> str:
        """Build what cannot be built; return the last line."""
        self.write("Dockerfile", dockerfile)
        done = self.box(*BUILD, *flags, self.path, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr.decode()
        return done.stderr.decode().splitlines()[-1]

    def inside(self, image: str, *command: str) -> str:
        """Run a command in an image, and return what it says."""
        return self.box.text("run", "--rm", "--network", "none", image, *command)


@pytest.fixture
def context(box: Ferry, tmp_path: Path) -> Context:
    return Context(box, tmp_path / "context")


def left(box: Ferry) -> list[str]:
    """Return what a build must not leave: containers, and what is unfinished."""
    names = box.text("ps", "--all", "--format", "{{.Names}}").split()
    return names + os.listdir(box.root / "tmp")


STAGES = """\
FROM box:1 AS one
WORKDIR /src
COPY a b/ ./
RUN cat a c > both && echo $0
FROM box:1
COPY --from=one /src/both /both
ENV WHO=me
CMD ["cat", "/both"]
"""


def test_stages(context: Context) -> None:
    context.write("a", "1\n")
    context.write("b/c", "2\n")
    image = context.build(STAGES, "-t", "app:1", "--label", "l=1")
    assert context.box.text("images", "--quiet", "--no-trunc", "app:1").strip() == image
    assert context.inside("app:1") == "1\n2"
    config = json.loads(context.box.text("inspect", "app:1"))[0]["Config"]
    assert config["Labels"] == {"l": "1"}
    assert "WHO=me" in config["Env"]
    assert not left(context.box)
    assert "clean" in context.box.text("system", "check")


def test_the_cache(context: Context) -> None:
    context.write("a", "1\n")
    context.write("b/c", "2\n")
    first = context.build(STAGES)
    # Content decides: neither times nor names of folders, nor what comes behind.
    os.utime(context.path / "a", (1, 1))
    assert context.build(STAGES) == first
    assert context.shown(STAGES).count("CACHED") == 6
    context.write("a", "3\n")
    shown = context.shown(STAGES, "-t", "app:2")
    assert shown.count("CACHED") == 3
    assert context.inside("app:2") == "3\n2"
    # What a stage makes counts, not how.
    other = STAGES.replace("&& echo $0", "&& echo changed")
    shown = context.shown(other)
    assert "CACHED" in shown.partition("[stage-1 2/2] COPY --from=one /src/both /both")[2]
    assert context.shown(STAGES, "--no-cache").count("CACHED") == 2


def test_a_failing_step(context: Context) -> None:
    text = "FROM box:1\nRUN echo out; echo err >&2; exit 3\n"
    context.write("Dockerfile", text)
    done = context.box(*BUILD, "-t", "bad:1", context.path, check=False)
    said = done.stderr.decode()
    assert done.returncode == 1
    assert (" out\n" in said, " err\n" in said) == (True, True)
    assert said.splitlines()[-1] == (
        'Error: Dockerfile:2: process "/bin/sh -c echo out; echo err >&2; exit 3" did not '
        "complete successfully: exit code: 3"
    )
    assert not context.box.text("images", "--quiet", "bad")
    assert not left(context.box)


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("", "the Dockerfile cannot be empty"),
        ("# nothing\n", "file with no instructions"),
        ("\0\1\2", "unknown instruction"),
        ("FROM box:1\nRUNN x\n", "Dockerfile:2: unknown instruction: RUNN (did you mean RUN?)"),
        ("FROM 127.0.0.1:1/nothere\n", "Dockerfile:1: 127.0.0.1:1/nothere: not found"),
        (
            "FROM box:1 AS a\nCOPY --from=b /x /\nFROM box:1 AS b\nCOPY --from=a /x /\n",
            "cannot copy",
        ),
        ("FROM box:1 AS a\nCOPY --from=a /etc /x\n", 'cannot copy from stage "a"'),
        ("FROM box:1\nCOPY nothere /\n", 'Dockerfile:2: "/nothere": not found'),
        ("FROM box:1\nCOPY out/passwd /\n", 'Dockerfile:2: "/out/passwd": not found'),
        ("FROM box:1\nCOPY ../../etc/passwd /\n", 'Dockerfile:2: "/etc/passwd": not found'),
        ("FROM box:1\nCOPY --chown=nobody1 Dockerfile /\n", "unable to find user nobody1"),
        ("FROM box:1\nUSER nobody1\nRUN true\n", "unable to find user nobody1"),
        ("FROM box:1\nCOPY Dockerfile /bin/sh/x\n", "Dockerfile:2: "),
        ("FROM box:1\nRUN --mount=from=127.0.0.1:1/x,target=/x true\n", "127.0.0.1:1/x: not found"),
        ("FROM box:1\nRUN --mount=type=secret,id=a,required true\n", "secret a: not found"),
    ],
)
def test_bad_input(context: Context, dockerfile: str, words: str) -> None:
    (context.path / "out").symlink_to("/etc")
    assert words in context.refused(dockerfile)
    assert not left(context.box)


@pytest.mark.parametrize("endless", ["/dev/zero", "/dev/urandom"])
def test_an_endless_dockerfile(context: Context, endless: str) -> None:
    done = context.box(*BUILD, "-f", endless, context.path, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert not left(context.box)
    with open(endless, "rb") as f:
        done = context.box(*BUILD, "-", stdin=f, check=False, timeout=60)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert not left(context.box)


FULL = {
    "RUN": "RUN dd if=/dev/zero of=/large bs=1M count=64",
    "COPY": "COPY large /",
    "ADD": "ADD large.tar.gz /",
}


@pytest.mark.parametrize("step", FULL)
def test_a_full_disk(busybox_tar: Path, tmp_path: Path, step: str) -> None:
    with small_disk(tmp_path / "disk", 24 << 20) as disk:
        context = Context(Ferry(disk / "store"), tmp_path / "context")
        context.box("import", busybox_tar, "box:1")
        with (context.path / "large").open("wb") as large:
            large.truncate(64 << 20)
        subprocess.run(["tar", "-C", context.path, "-czf", context.path / "large.tar.gz", "large"])
        said = context.refused(f"FROM box:1\nENV PATH=/bin\n{FULL[step]}\n", "-t", "app:1")
        assert "Dockerfile:3: " in said
        assert not context.box.text("images", "--quiet", "app:1")
        assert not left(context.box)
        assert "clean" in context.box.text("system", "check")
        assert context.build("FROM box:1\nCOPY Dockerfile /\n")


def test_no_such_context(box: Ferry) -> None:
    done = box(*BUILD, "/nothere", check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b'Error: unable to prepare context: path "/nothere" not found\n'


COPIES = [
    ("COPY a /new", ["/new=a"]),
    ("COPY a /new/", ["/new/a=a"]),
    ("COPY a /there", ["/there/a=a", "/there/old=old"]),
    ("COPY a d /there/", ["/there/a=a", "/there/old=old", "/there/x=x", "/there/e/y=y"]),
    ("COPY d /new", ["/new/x=x", "/new/e/y=y"]),
    ("COPY d/ /there", ["/there/old=old", "/there/x=x", "/there/e/y=y"]),
    ("COPY d/* /new/", ["/new/x=x", "/new/y=y"]),
    ("COPY ?.txt /new/", []),
    ("COPY a b*.txt /new/", ["/new/a=a", "/new/b1.txt=1", "/new/b2.txt=2"]),
    ("COPY link /new", ["/new=a"]),
    ("COPY dirlink/x /new", ["/new=x"]),
    ("COPY dirlink /new", ["/new/x=x", "/new/e/y=y"]),
    ("COPY --parents d/e/y /new/", ["/new/d/e/y=y"]),
    ("COPY --parents d/./e/y /new/", ["/new/e/y=y"]),
    ("COPY --exclude=e d /new", ["/new/x=x"]),
    ("COPY --exclude=**/y --exclude=x d /new", []),
    ("COPY d /tolink", ["/there/old=old", "/there/x=x", "/there/e/y=y"]),
    ("COPY a /there/old", ["/there/old=a"]),
    ("WORKDIR /there\nCOPY a .", ["/there/a=a", "/there/old=old"]),
    ("WORKDIR /there\nCOPY a sub/b", ["/there/old=old", "/there/sub/b=a"]),
    ('COPY ["sp ace", "/new"]', ["/new=s"]),
    ("ADD a /new", ["/new=a"]),
    ("ADD t.tar /new", ["/new/in=in"]),
    ("ADD t.tar.gz /new/", ["/new/in=in"]),
    ("ADD --unpack=false t.tar /new/", ["/new/t.tar"]),
    ("COPY t.tar /new/", ["/new/t.tar"]),
    ("COPY <<E <<F /new/\n1\nE\n2\nF", ["/new/E=1\n", "/new/F=2\n"]),
    ("ARG n=3\nCOPY <<E /new\n$n\nE", ["/new=3\n"]),
    ("COPY <<'E' /new\n$n\nE", ["/new=$n\n"]),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, text in {
        "a": "a", "b1.txt": "1", "b2.txt": "2", "d/x": "x", "d/e/y": "y", "sp ace": "s",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "link").symlink_to("a")
    (folder / "dirlink").symlink_to("d")
    for name, mode in (("t.tar", "w"), ("t.tar.gz", "w:gz")):
        with tarfile.open(folder / name, mode) as tar:  # type: ignore[call-overload]
            member = tarfile.TarInfo("in")
            member.size = 2
            tar.addfile(member, io.BytesIO(b"in"))
    return folder


def contents(root: Path, *places: str) -> list[str]:
    found = []
    for place in places:
        top = root / place.lstrip("/")
        for file in [top] if top.is_file() else sorted(top.rglob("*")):
            if file.is_file():
                name = "/" + str(file.relative_to(root))
                found.append(name if ".tar" in name else f"{name}={file.read_text()}")
    return found


@pytest.mark.parametrize(("line", "want"), COPIES, ids=[line for line, _ in COPIES])
def test_copy(box: Ferry, files: Path, tmp_path: Path, line: str, want: list[str]) -> None:
    text = f"FROM scratch\nCOPY <<E /there/old\nold\nE\nADD links.tar /\n{line}\n"
    links = tmp_path / "links.tar"
    with tarfile.open(links, "w") as tar:
        member = tarfile.TarInfo("tolink")
        member.type, member.linkname = tarfile.SYMTYPE, "/there"
        tar.addfile(member)
    context = tmp_path / "context"
    subprocess.run(["cp", "-a", files, context], check=True)
    links.rename(context / "links.tar")
    out = tmp_path / "out"
    box(*BUILD, "-f", "-", "-o", out, context, input=text.encode())
    places = {f"/{each.lstrip('/').partition('/')[0].partition('=')[0]}" for each in want}
    found = contents(out, *sorted(places))
    assert [each.replace("=old\n", "=old") for each in found] == sorted(want)


def test_owners_and_modes(context: Context) -> None:
    context.write("a", "", 0o4750)
    context.write("d/b", "", 0o600)
    image = context.build(
        "FROM box:1\nCOPY <<E /etc/passwd\nroot:x:0:0::/:/bin/sh\nme:x:7:8::/:/bin/sh\nE\n"
        "COPY a /plain\nCOPY --chown=me a /named\nCOPY --chown=5 a /number\n"
        "COPY --chown=5:6 d /new/d\nCOPY --chmod=u=rwX,go=rX d /modes\n"
        "USER me\nWORKDIR /w/x\n"
    )
    said = context.inside(
        image, "stat", "-c", "%a %u:%g %n", "/plain", "/named", "/number", "/new", "/new/d/b",
        "/modes", "/modes/b", "/w", "/w/x",
    )  # fmt: skip
    assert said.splitlines() == [
        "4750 0:0 /plain",
        "4750 7:8 /named",
        "4750 5:5 /number",
        "755 5:6 /new",
        "600 5:6 /new/d/b",
        "755 0:0 /modes",
        "644 0:0 /modes/b",
        "755 7:8 /w",
        "755 7:8 /w/x",
    ]


def test_files_of_another_stage_keep_their_owners(context: Context) -> None:
    image = context.build(
        "FROM box:1 AS a\nRUN mkdir /d && touch /d/f && ln /d/f /d/g && chown 3:4 /d/f\n"
        "FROM box:1\nCOPY --from=a /d /d\n"
    )
    said = context.inside(image, "stat", "-c", "%u:%g %h", "/d/f", "/d/g")
    assert said.splitlines() == ["3:4 2", "3:4 2"]


def test_what_is_ignored(context: Context) -> None:
    context.write(".dockerignore", "*\n!keep\n!d/e\n")
    for name in ("keep", "drop", "d/e/f", "d/g"):
        context.write(name, "")
    find = ["find", "/x", "-type", "f"]
    image = context.build("FROM box:1\nCOPY . /x\n")
    assert sorted(context.inside(image, *find).split()) == ["/x/d/e/f", "/x/keep"]
    assert '"/drop": not found' in context.refused("FROM box:1\nCOPY drop /x\n")
    # Files that are not to be seen change nothing.
    context.write("drop", "changed")
    assert "CACHED" in context.shown("FROM box:1\nCOPY . /x\n").split("COPY . /x")[-1]
    context.write("Dockerfile.dockerignore", "d\nDockerfile*\n")
    image = context.build("FROM box:1\nCOPY . /x\n")
    assert "/x/drop" in context.inside(image, *find).split()
    assert "/x/d/g" not in context.inside(image, *find).split()


def test_from_standard_input(box: Ferry) -> None:
    text = b"FROM box:1\nRUN echo hi > /hi\n"
    image = box(*BUILD, "-q", "-", input=text).stdout.decode().strip()
    assert box.text("run", "--rm", "--network", "none", image, "cat", "/hi") == "hi"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in (("Dockerfile", b"FROM box:1\nCOPY a /a\n"), ("a", b"1")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    image = box(*BUILD, "-q", "-", input=archive.getvalue()).stdout.decode().strip()
    assert box.text("run", "--rm", "--network", "none", image, "cat", "/a") == "1"


def test_mounts(context: Context) -> None:
    context.write("a/b", "bound")
    secret = context.path.parent / "secret"
    secret.write_text("q7-z")
    shown = context.shown(
        "FROM box:1 AS other\nRUN echo other > /file\nFROM box:1\n"
        "RUN --mount=type=cache,target=/cache echo one >> /cache/x\n"
        "RUN --mount=type=cache,target=/cache echo two >> /cache/x; echo $(cat /cache/x)\n"
        "RUN --mount=source=a,target=/bound echo $(cat /bound/b); ! touch /bound/c\n"
        "RUN --mount=from=other,source=/file,target=/m/file cat /m/file\n"
        "RUN --mount=from=other,target=/m,rw touch /m/c && ls /m/c\n"
        "RUN --mount=type=tmpfs,target=/t mount | grep -q 'on /t type tmpfs'\n"
        "RUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S,target=/s "
        "echo $(cat /run/secrets/s) | rev; echo $S | rev; stat -c %a /s\n"
        "RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n",
        "--secret", f"id=s,src={secret}", "-t", "mounts:1",
    )  # fmt: skip
    for words in (" one two", " bound", " other", " /m/c", " z-7q\n", " 400\n"):
        assert words in shown
    assert shown.count(" z-7q\n") == 2
    # Neither contents nor the places they were mounted at are in the image.
    found = context.inside(
        "mounts:1", "sh", "-c", "ls -d /cache /bound /m /t /s /run/secrets; true"
    )
    assert found == ""
    with tarfile.open(fileobj=io.BytesIO(context.box("save", "mounts:1").stdout)) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is None or b"q7-z" not in file.read()
    for path in context.box.root.rglob("*"):
        assert not path.is_file() or b"q7-z" not in path.read_bytes()


def test_here_documents(context: Context) -> None:
    shown = context.shown(
        "FROM box:1\nRUN <<EOF\necho one\necho two\nEOF\n"
        "RUN <<-EOF\n\t#!/bin/cat\n\tshown\n\tEOF\nRUN cat <<EOF\n$0\nEOF\n"
    )
    assert (" one\n" in shown, " two\n" in shown, " shown\n" in shown) == (True, True, True)


@pytest.fixture
def server(files: Path) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=files)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_add_from_elsewhere(context: Context, server: str) -> None:
    image = context.build(f"FROM box:1\nADD {server}/a /new/\nADD {server}/t.tar /t\n")
    assert context.inside(image, "stat", "-c", "%a %s", "/new/a").strip() == "600 1"
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    context.build(f"FROM box:1\nADD --checksum=sha256:{digest} {server}/a /a\n")
    wrong = "0" * 64
    assert "digest mismatch" in context.refused(
        f"FROM box:1\nADD --checksum=sha256:{wrong} {server}/a /a\n"
    )
    assert "404" in context.refused(f"FROM box:1\nADD {server}/nothere /a\n")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of a git repository with a submodule, and the commit that it is at."""
    served = tmp_path / "served"
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")

    def git(name: str, *words: str) -> str:
        command = ["git", "-C", str(served / name), *identity, *words]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().strip()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"git://127.0.0.1:{port}"
    daemon = ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", "--export-all",
              f"--base-path={served}", "--reuseaddr", str(served)]  # fmt: skip
    for name in ("part", "whole"):
        (served / name / "sub").mkdir(parents=True)
        (served / name / "sub" / name).write_text(name)
        (served / name / "run").touch(0o755)
        git(name, "init", "--quiet", "--initial-branch", "main")
        git(name, "add", ".")
        git(name, "commit", "--quiet", "-m", "1")
    with subprocess.Popen(daemon) as process:
        try:
            while not answers(port):
                time.sleep(0.02)
            git("whole", "submodule", "--quiet", "add", f"{url}/part", "mod")
            git("whole", "commit", "--quiet", "-m", "2")
            git("whole", "tag", "v1")
            yield f"{url}/whole", git("whole", "rev-parse", "HEAD")
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_add_a_repository(context: Context, repository: tuple[str, str]) -> None:
    url, commit = repository
    text = f"FROM box:1\nADD {url} /new\n"
    image = context.build(text)
    found = context.inside(image, "find", "/new", "!", "-type", "d").split()
    assert sorted(found) == [
        "/new/.gitmodules", "/new/mod/run", "/new/mod/sub/part", "/new/run", "/new/sub/whole",
    ]  # fmt: skip
    assert context.inside(image, "stat", "-c", "%a %u", "/new/run", "/new/sub/whole").split() == [
        "755", "0", "644", "0",
    ]  # fmt: skip
    assert context.shown(text).count("CACHED") == 2
    image = context.build(f"FROM box:1\nADD --keep-git-dir=true {url}#v1 /new\n")
    assert context.inside(image, "cat", "/new/.git/HEAD").strip() == commit
    image = context.build(f"FROM box:1\nADD --checksum={commit[:12]} {url}#main:sub /new/\n")
    assert context.inside(image, "find", "/new", "-type", "f").split() == ["/new/whole"]
    for line, words in {
        f"ADD --checksum={'0' * 40} {url} /new": f"to match {'0' * 40}, got {commit}",
        f"ADD {url}#nothing /new": "couldn't find remote ref nothing",
        f"ADD {url}#:none /new": "no folder none",
        f"COPY {url} /new": "source can't be a URL for COPY",
    }.items():
        assert words in context.refused(f"FROM box:1\n{line}\n")
    assert not left(context.box)


def test_the_same_image_everywhere(context: Context, tmp_path: Path, busybox_tar: Path) -> None:
    context.write("a", "1")
    text = "FROM box:1\nWORKDIR /w\nCOPY . .\nRUN echo 1 > /x\nENV a=1\n"
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    try:
        first = context.build(text)
        other = Ferry(tmp_path / "other")
        context.box("save", "-o", tmp_path / "box.tar", "box:1")
        other("load", "-i", tmp_path / "box.tar")
        (context.path / "a").unlink()
        context.write("b", "2")
        context.write("a", "1")
        (context.path / "b").unlink()
        os.utime(context.path / "a", (1800000000, 1800000000))
        done = other(*BUILD, "-q", "--no-cache", context.path)
        assert done.stdout.decode().strip() == first
    finally:
        del os.environ["SOURCE_DATE_EPOCH"]


def test_outputs(context: Context, tmp_path: Path) -> None:
    context.write("a", "1")
    text = "FROM scratch\nCOPY a /d/a\n"
    before = context.box.text("images", "--all", "--quiet")
    context.build(text, "-o", str(tmp_path / "files"))
    assert (tmp_path / "files/d/a").read_text() == "1"
    context.build(text, "-o", f"type=tar,dest={tmp_path}/files.tar")
    with tarfile.open(tmp_path / "files.tar") as tar:
        assert "d/a" in tar.getnames()
    context.build(text, "-t", "out:1", "-o", f"type=oci,dest={tmp_path}/oci.tar")
    assert context.box.text("images", "--all", "--quiet") == before
    context.box("load", "-i", tmp_path / "oci.tar")
    assert context.box.text("images", "--quiet", "out:1")
    image = context.build(text, "--iidfile", str(tmp_path / "id"), "-q")
    assert (tmp_path / "id").read_text() == image


def test_builds_at_once_share_the_cache(context: Context) -> None:
    context.write("Dockerfile", "FROM box:1\nRUN sleep 1; cat /proc/sys/kernel/random/uuid >/u\n")
    both = [context.box.popen(*BUILD, "-q", context.path) for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0]
    for each in both:
        each.communicate()
    assert context.build("FROM box:1\nRUN sleep 1; cat /proc/sys/kernel/random/uuid >/u\n")
    assert not left(context.box)
    assert "clean" in context.box.text("system", "check")


def test_stages_that_do_not_need_each_other_run_at_once(context: Context) -> None:
    wait = "for i in $(seq 100); do test -e /c/{} && exit 0; sleep 0.1; done; exit 1"
    mount = "RUN --mount=type=cache,target=/c"
    context.build(
        f"FROM box:1 AS a\n{mount} touch /c/a; {wait.format('b')}\n"
        f"FROM box:1 AS b\n{mount} touch /c/b; {wait.format('a')}\n"
        "FROM box:1\nCOPY --from=a /etc/notes /a\nCOPY --from=b /etc/notes /b\n"
    )


def steps(shown: str, words: str) -> set[str]:
    """Return the titles of the steps of which a build shows these words: DONE, or CACHED."""
    titles = dict(re.findall(r"^#(\d+) (\[.+)$", shown, re.MULTILINE))
    return {titles[n] for n in re.findall(rf"^#(\d+) {words}", shown, re.MULTILINE) if n in titles}


@pytest.mark.slow
def test_killed_at_any_moment(context: Context, tmp_path: Path) -> None:
    text = (
        "FROM box:1 AS one\nCOPY a /a\nRUN echo first > /first\n"
        "FROM box:1 AS two\nCOPY a /a\nRUN sleep 0.1; echo second > /second\n"
        "FROM one\nCOPY --from=two /second /etc /etc2/\nRUN sleep 0.1; echo third > /third\n"
    )
    context.write("Dockerfile", text)
    command = (*BUILD, "--progress", "plain", "-t", "app:1", context.path)
    context.write("a", "first")
    begun = time.monotonic()
    context.box(*command)
    longest = time.monotonic() - begun
    moments = random.Random(5)
    finished_before = 0
    for number in range(50):
        # The steps of each round are new.
        context.write("a", str(number))
        with (tmp_path / "shown").open("w+b") as shown:
            process = context.box.popen(*command, stderr=shown)
            time.sleep(moments.uniform(0.1, 1.1) * longest)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            shown.seek(0)
            finished = steps(shown.read().decode(), "DONE")
        assert "clean" in context.box.text("system", "check")
        # What was finished is not done again, and what was left is given back.
        again = context.box(*command).stderr.decode()
        not_kept = {title for title in finished if "FROM" not in title}
        assert not_kept <= steps(again, "CACHED")
        finished_before += len(not_kept)
        assert not left(context.box)
    assert finished_before > 25
    ours = f"{context.box.root}/containers"
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert ours not in mounts.read()


def test_interrupted(context: Context, interruptible: None) -> None:
    context.write("Dockerfile", "FROM box:1\nRUN echo begun; sleep 60\n")
    process = context.box.popen(*BUILD, context.path)
    assert process.stderr
    while b"begun" not in process.stderr.readline():
        pass
    # "begun" is in the title first.
    while b" begun" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    process.communicate()
    assert not left(context.box)


def test_the_cache_goes_when_it_is_told_to(context: Context) -> None:
    text = "FROM box:1\nRUN --mount=type=cache,target=/c echo 1 > /c/x; echo 1 > /x\n"
    context.build(text)
    context.box("image", "prune", "--force")
    assert context.shown(text).count("CACHED") == 2
    context.box("image", "prune", "--force")
    assert context.box.text("builder", "prune", "--force").startswith("Total reclaimed space: ")
    assert context.shown(text).count("CACHED") == 1
    assert "clean" in context.box.text("system", "check")
