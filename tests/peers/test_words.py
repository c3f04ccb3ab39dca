"""Wrong uses end as they do with docker: the same exit code, the same essential words."""

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.odd import Odd

pytestmark = pytest.mark.peer

IMAGE = "ferry-odd/empty-layers:1"


class Wrong(NamedTuple):
    """A wrong use, and the words that both must say (empty: docker's are not for users)."""

    command: str
    words: str
    stdin: str = "/dev/null"


USES = [
    # load
    Wrong("load", "", "empty"),
    Wrong("load", "", "no-tar"),
    Wrong("load", "", "no-manifest.tar"),
    Wrong("load", "", "bad-manifest.tar"),
    Wrong("load", "", "cut.tar"),
    Wrong("load -i nowhere", "open nowhere: no such file or directory"),
    Wrong("load -i empty", ""),
    Wrong("load -i folder", "folder: "),
    Wrong("load --nonsense", "unknown flag: --nonsense"),
    Wrong("load -Z", "unknown shorthand flag: 'Z' in -Z"),
    Wrong("load -i", "flag needs an argument: 'i' in -i"),
    Wrong("load --input", "flag needs an argument: --input"),
    # save
    Wrong("save", "save' requires at least 1 argument"),
    Wrong("save nothing", "No such image: nothing"),
    Wrong(f"save {IMAGE} nothing", "No such image: nothing"),
    Wrong("save nothing:2", ""),
    Wrong("save Upper:1", "invalid reference format: repository name"),
    Wrong("save a::b", "invalid reference format"),
    Wrong(f"save {IMAGE} -o folder", "failed to save image: cannot write to a directory"),
    Wrong(f"save {IMAGE} -o folder/", "failed to save image: cannot write to a directory"),
    Wrong(f"save {IMAGE} -o no/where", "failed to save image: invalid output path: "),
    Wrong(f"save {IMAGE} -o /dev/null", "failed to save image: "),
    Wrong(f"save --nonsense {IMAGE}", "unknown flag: --nonsense"),
    # rmi
    Wrong("rmi", "rmi' requires at least 1 argument"),
    Wrong("rmi nothing", "No such image: nothing:latest"),
    Wrong("rmi --force nothing", "No such image: nothing:latest"),
    Wrong("rmi 0000", "No such image: 0000:latest"),
    Wrong("rmi sha256:0000", "No such image: sha256:0000"),
    Wrong("rmi Upper", "must be lowercase"),
    Wrong("image rm nothing", "No such image: nothing:latest"),
    # tag
    Wrong("tag", "tag' requires 2 arguments"),
    Wrong("tag one", "tag' requires 2 arguments"),
    Wrong("tag one two three", "tag' requires 2 arguments"),
    Wrong("tag nothing x", "No such image: nothing:latest"),
    Wrong(f"tag {IMAGE} Upper", "invalid reference format: repository name (library/Upper) must"),
    Wrong(f"tag {IMAGE} x:", "invalid reference format"),
    Wrong(f"tag {IMAGE} {'0' * 64}", "cannot specify 64-byte hexadecimal strings"),
    Wrong(f"tag {IMAGE} x@sha256:{'0' * 64}", "refusing to create a tag with a digest reference"),
    # inspect, history, images
    Wrong("inspect", "inspect' requires at least 1 argument"),
    Wrong("inspect nothing", "No such object: nothing"),
    Wrong("image inspect nothing", "No such image: nothing"),
    Wrong(f"image inspect nothing {IMAGE}", "No such image: nothing"),
    Wrong("history", "history' requires 1 argument"),
    Wrong("history nothing", "No such image: nothing:latest"),
    Wrong("images a b", "images' requires at most 1 argument"),
    Wrong("images --filter bad", "bad format of filter (expected name=value)"),
    Wrong("images --filter no=1", "nvalid filter 'no'"),
    Wrong("image prune extra", "image prune' accepts no arguments"),
    # import
    Wrong("import", "import' requires at least 1 "),
    Wrong("import nowhere", "open nowhere: no such file or directory"),
    Wrong("import empty Upper:1", "invalid reference format: repository name"),
    Wrong("import empty x:1 --change RUN", "run is not a valid change command"),
    # anything else
    Wrong("nonsense", "unknown command: "),
    Wrong("image nonsense", "unknown command: "),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, odd_image: Callable[[str], Odd]) -> Path:
    """The files that the wrong uses are about."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "no-tar").write_text("hello\n")
    for name, content in (("no-manifest", "other"), ("bad-manifest", "manifest.json")):
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            tar.add(folder / "no-tar", content)
    saved = odd_image("empty-layers").tar.read_bytes()
    (folder / "cut.tar").write_bytes(saved[: len(saved) // 2])
    return folder


@pytest.fixture(scope="module")
def there(dockerd: Command, odd_image: Callable[[str], Odd]) -> None:
    dockerd.run("load", "-i", odd_image("empty-layers").tar)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, odd_image: Callable[[str], Odd]) -> Ferry:
    """One store for all uses: they are wrong, and none may change it."""
    ferry = Ferry(tmp_path_factory.mktemp("store") / "root")
    ferry("load", "-i", odd_image("empty-layers").tar)
    return ferry


def answer(program: Command, use: Wrong, folder: Path) -> subprocess.CompletedProcess[bytes]:
    there = Command(("env", "--chdir", str(folder), *program.argv), program.env)
    with (folder / use.stdin).open("rb") as stdin:
        return there.run(*use.command.split(), stdin=stdin, check=False)


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.command[:60]} < {use.stdin}")
def test_wrong_use(
    use: Wrong, dockerd: Command, new_client: bool, there: None, here: Ferry, folder: Path
) -> None:
    before = (here.root / "image/index.json").read_bytes()
    theirs, ours = answer(dockerd, use, folder), answer(here.at(None), use, folder)
    said = ours.stderr.decode()
    if new_client:
        assert ours.returncode == theirs.returncode
        assert use.words in theirs.stderr.decode()
    assert bool(ours.returncode) == bool(theirs.returncode)
    assert use.words in said
    if said.startswith("ferry: "):
        assert "Run 'ferry" in said.splitlines()[-1]
    else:
        assert said.startswith("Error: ")
        assert len(said.splitlines()) == 1
    if "inspect" not in use.command:
        assert not ours.stdout
    assert (here.root / "image/index.json").read_bytes() == before
