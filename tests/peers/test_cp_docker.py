"""``cp`` against docker: the same words, the same files there and here.

A case is a command line.  ``C:`` stands for the container and ``@`` for a folder of the case's
own, made like all others: in the container's ``/w``, in a volume at ``/volume`` and in a folder of
the host that is mounted at ``/bind``.  The command is started in such a folder of the host.  Where
a tilde stands first, ferry has words of its own: docker's are about its daemon's insides.

Left out is what docker makes a mess of: it refuses some links once half of a folder is written,
and does not keep owners on the host with ``-a``.  See tests/containers/test_cp.py.
"""

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Command
from tests.containers.test_life import until
from tests.ferry import Ferry
from tests.images import folder, member, tar_of
from tests.rootfs.seen import Entry, seen
from tests.runtime.box import busybox_tree

pytestmark = [pytest.mark.peer, pytest.mark.slow]

IMAGE = "ferry-test/cp:1"

FOLDERS = """
mkdir -p {0}/dir/sub {0}/other {0}/empty; cd {0}
echo one > one; echo deep > dir/sub/deep; echo two > dir/two; ln dir/two dir/twin
ln -s one link; ln -s dir dirlink; ln -s nowhere dangling; ln -s /etc/notes absolute
ln -s /escape outside; ln -s loop loop
echo old > other/one; mkdir other/two; mkfifo dir/pipe
chown 1000:1001 one dir dir/two; chmod 4750 one; chmod 700 dir/sub; chmod 1777 other
touch -d '2001-02-03 04:05:06' one dir/two dir/sub other
"""

OUT = """\
C:/w/@/one new
C:/w/@/one .
C:/w/@/one dir
C:/w/@/one dir/
C:/w/@/one new/
C:/w/@/one dir/two
C:/w/@/one link
C:/w/@/one dirlink
C:/w/@/one dirlink/
C:/w/@/one dangling
C:/w/@/one loop
C:/w/@/one one/new
C:/w/@/one dir/pipe
~ C:/w/@/one/ new
C:../../w/@/one new
C:/w/@/dir new
C:/w/@/dir new/.
C:/w/@/dir/ new
C:/w/@/dir/. new
C:/w/@/dir/. .
C:/w/@/dir other
C:/w/@/dir/. other
C:/w/@/dir one
C:/w/@/dir dirlink
C:/w/@/dir dangling
C:/w/@/dir missing/new
C:/w/@/other .
C:/w/@/link new
C:/w/@/link one
-L C:/w/@/link new
-L C:/w/@/link .
-L C:/w/@/link dir
C:/w/@/dirlink new
C:/w/@/dirlink/ new
C:/w/@/dirlink/. new
-L C:/w/@/dirlink new
-L C:/w/@/dirlink other
-L C:/w/@/dirlink/. other
-L C:/w/@/absolute new
~ -L C:/w/@/outside new
~ -L C:/w/@/dangling new
~ -L C:/w/@/loop new
C:/w/@/nothing new
C:/w/@/dir/pipe new
C:/dev/null new
C:/volume/@/dir new
C:/bind/@/dir/two new
~ C: new
nobody:/one new
C:/w/@/one C:/w/@/new
one new
C:/w/@/one -
C:/w/@/dir -
C:/w/@/dir/. -
C:/w/@/link -
C:/w/@/dirlink -
C:/w/@/dirlink/ -
-L C:/w/@/link -
C:/volume/@/other -
"""

INTO = """\
one C:/w/@/new
one C:/w/@
one C:/w/@/
one C:/w/@/dir
one C:/w/@/new/
one C:/w/@/missing/new
one C:/w/@/dir/two
one C:/w/@/dir/two/
one C:/w/@/dir/two/new
one C:/w/@/link
one C:/w/@/dirlink
one C:/w/@/dirlink/new
one C:/w/@/dangling
one C:/w/@/absolute
one C:/w/@/outside
one C:/w/@/dir/pipe
one C:/dev/null
~ one/ C:/w/@/new
dir C:/w/@/new
dir/ C:/w/@/new
dir/. C:/w/@/new
dir C:/w/@
dir C:/w/@/other
dir/. C:/w/@/other
dir C:/w/@/one
dir C:/w/@/dirlink
dir/. C:/w/@/dirlink
dir C:/w/@/dangling
dir C:/w/@/missing/new
other C:/w/@
other/. C:/w/@/dir
. C:/w/@/empty
./dir/../one C:/w/@/new
link C:/w/@/new
link C:/w/@/one
-L link C:/w/@/new
-L link C:/w/@
dirlink C:/w/@/new
dirlink/ C:/w/@/new
dirlink/ C:/w/@/other
-L dirlink C:/w/@/other
-L dirlink/. C:/w/@/other
dangling C:/w/@/new
~ -L dangling C:/w/@/new
dir/pipe C:/w/@/new
nothing C:/w/@/new
-a one C:/w/@/new
-a dir C:/w/@/new
-a dir/. C:/w/@/other
dir C:/volume/@/new
one C:/volume/@/other/one
one C:/bind/@/new
one C:/readonly/@
one C:/readonly/@/one
one C:
one nobody:/x
- C:/w/@
- C:/w/@/dir
- C:/w/@/dirlink
- C:/w/@/one
- C:/w/@/new
- C:/volume/@/empty
"""

# A few of them again with a container that does not run.
STOPPED = """\
C:/w/@/dir new
C:/w/@/one dir
C:/volume/@/dir/. other
C:/bind/@/one new
C:/w/@/dir -
C:/w/@/nothing new
one C:/w/@/dir
dir C:/volume/@/new
one C:/bind/@/new
one C:/readonly/@/one
- C:/w/@
one C:/w/@/missing/new
"""

# What `-` has on standard input.
TAR = tar_of(
    member("one", b"from a tar\n", uid=1000, gid=1001, mode=0o640, mtime=981173106),
    folder("dir", mode=0o711, uid=7),
    member("dir/new", b"new\n", mtime=981173106),
    member("dir/here", type=tarfile.SYMTYPE, linkname="new"),
    member("dir/same", type=tarfile.LNKTYPE, linkname="dir/new"),
)
RECENT = 1_500_000_000


class Outcome(NamedTuple):
    """What came of a copy: what the command said and wrote, and what has changed where."""

    code: int
    words: str
    tar: list[tuple[object, ...]]
    changes: dict[tuple[str, bytes], object]


class Side:
    """An engine with a container for a whole table, and the folders of the host."""

    def __init__(self, engine: Command, at: Path, cases: Sequence[str]) -> None:
        self.engine, self.at, self.cases = engine, at, cases
        for name in ("bind", "readonly", "host"):
            (at / name).mkdir(parents=True)
        for name in ("readonly", "host"):
            subprocess.run(["sh", "-ec", self._folders(at / name)], check=True)
        script = "".join(map(self._folders, map(Path, ("/w", "/volume", "/bind"))))
        self.container = engine.text(
            *("run", "--detach", "--network", "none", "--volume", "/volume"),
            *("--volume", f"{at}/bind:/bind", "--volume", f"{at}/readonly:/readonly:ro"),
            *(IMAGE, "sh", "-ec", f"test -e /ready || {{ {script} }}; touch /ready; sleep 1000"),
        )
        until((self._root() / "ready").exists)

    def _folders(self, above: Path) -> str:
        made = FOLDERS.strip().format(f"{above}/$i")
        return f"for i in $(seq 0 {len(self.cases) - 1}); do {made}\ndone\n"

    def _root(self) -> Path:
        pid = self.engine.text("inspect", "--format", "{{.State.Pid}}", self.container)
        return Path(f"/proc/{pid}/root")

    def outcomes(self, *, running: bool) -> list[Outcome]:
        before = self._seen()
        if not running:
            self.engine.run("stop", "--time", "0", self.container)
        done = [self._done(number, case) for number, case in enumerate(self.cases)]
        if not running:
            self.engine.run("start", self.container)
        after = self._seen()
        return [
            Outcome(
                each.returncode,
                "" if case.startswith("~") else self._words(each.stderr.decode()),
                listed(each.stdout),
                changes(number, before, after),
            )
            for number, (case, each) in enumerate(zip(self.cases, done, strict=True))
        ]

    def _seen(self) -> dict[str, dict[bytes, Entry]]:
        root = self._root()
        places = {name: seen(root / name) for name in ("w", "volume", "bind")}
        return places | {"host": seen(self.at / "host")}

    def _done(self, number: int, case: str) -> subprocess.CompletedProcess[bytes]:
        words = case.removeprefix("~ ").replace("@", str(number)).split()
        words = [re.sub("^C:", f"{self.container}:", word) for word in words]
        here = ("env", "--chdir", str(self.at / "host" / str(number)))
        command = Command((*here, *self.engine.argv), self.engine.env)
        return command.run("cp", *words, input=TAR if "- C:" in case else None, check=False)

    def _words(self, said: str) -> str:
        """Return what was said without what is docker's own affair."""
        lines = [line for line in said.splitlines() if not line.startswith("time=")]
        words = "\n".join(lines).replace(str(self.at), "HERE").replace(self.container, "C")
        return re.sub(r"^Error: |^Error .*daemon: |Error processing tar file\(.*?\): ", "", words)


def listed(content: bytes) -> list[tuple[object, ...]]:
    if not content:
        return []
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return [
            (
                *(each.name, each.type, each.mode & 0o7777, each.uid, each.gid, each.size),
                *(each.linkname, min(int(each.mtime), RECENT)),
            )
            for each in opened
        ]


def changes(
    number: int, before: dict[str, dict[bytes, Entry]], after: dict[str, dict[bytes, Entry]]
) -> dict[tuple[str, bytes], object]:
    """Return how the folders of a case are now, as far as they are not as before."""
    top = str(number).encode()
    found: dict[tuple[str, bytes], object] = {}
    for place in after:
        for path in before[place].keys() | after[place].keys():
            if path.partition(b"/")[0] == top:
                was, now = (at[place].get(path) for at in (before, after))
                if told(was, top) != told(now, top):
                    found[place, path.removeprefix(top)] = told(now, top)
    return found


def told(entry: Entry | None, top: bytes) -> object:
    """Return what an entry is, but for times that are those of the test and its case's folder."""
    if entry is None:
        return None
    names = [name.removeprefix(top) for name in entry.names]
    # docker writes whole seconds.
    mtime = min(entry.mtime_ns // 10**9, RECENT)
    return entry._replace(mtime_ns=mtime, names=names)


@pytest.fixture(scope="module")
def both(
    dockerd: Command, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Command, Command]]:
    """docker and ferry, with the same image."""
    at = tmp_path_factory.mktemp("cp")
    tree = busybox_tree(at / "tree")
    tar = at / "tree.tar"
    subprocess.run(["tar", "--numeric-owner", "-C", tree, "-cf", tar, "."], check=True)
    ferry = Ferry(at / "store").at(None)
    for engine in (dockerd, ferry):
        engine.run("import", "--change", "ENV PATH=/bin", tar, IMAGE)
    yield dockerd, ferry
    for engine in (dockerd, ferry):
        if left := engine.text("ps", "--all", "--quiet").split():
            engine.run("rm", "--force", "--volumes", *left)
    dockerd.run("rmi", "--force", IMAGE)


def compared(
    both: tuple[Command, Command], at: Path, table: str, *, running: bool, words: bool
) -> None:
    cases = table.splitlines()
    theirs, ours = (
        Side(engine, at / str(number), cases).outcomes(running=running)
        for number, engine in enumerate(both)
    )
    for case, their, our in zip(cases, theirs, ours, strict=True):
        if not words:
            their, our = their._replace(words=""), our._replace(words="")
        assert (case, our) == (case, their)


@pytest.mark.parametrize("table", [OUT, INTO], ids=["out", "into"])
def test_running(
    both: tuple[Command, Command], new_client: bool, tmp_path: Path, table: str
) -> None:
    compared(both, tmp_path, table, running=True, words=new_client)


def test_stopped(both: tuple[Command, Command], new_client: bool, tmp_path: Path) -> None:
    compared(both, tmp_path, STOPPED, running=False, words=new_client)
