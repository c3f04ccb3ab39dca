"""Images with hostile layers, from load to run: nothing outside is touched, one clear line."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferryman.rootfs import erofs_mount
from tests.containers.test_life import RUN, said
from tests.disks import fill, small_disk
from tests.ferry import Ferry
from tests.images import docker_archive, made, packed
from tests.rootfs import layers
from tests.rootfs.layers import Item, folder, hardlink, item, sparse, symlink
from tests.rootfs.seen import seen

pytestmark = pytest.mark.skipif(
    not erofs_mount.possible(), reason="to mount layers takes root and Linux 6.4"
)
STORAGES = ("erofs", "extract")
MADE = {"lock", "index.erofs", "index.loop", "tar.loop", "mounted", "headers", "tree"}
"""What is made of a layer; see `rootfs.lower`."""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host that a layer may name."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("secret")
    return path


def load(box: Ferry, busybox: Path, *items: Item) -> None:
    """Load ``it:1``: busybox, and over it a layer of these members."""
    image = made(busybox.read_bytes(), layers.packed(*items), names=["it:1"])
    assert box("load", input=packed(docker_archive(image))).stdout == b"Loaded image: it:1\n"


def unfinished(box: Ferry) -> list[str]:
    """Return what is in a store that should not be."""
    left = [f"tmp/{name}" for name in os.listdir(box.root / "tmp")]
    for name in os.listdir(box.root / "layers"):
        there = set(os.listdir(box.root / "layers" / name))
        left += [f"{name}/{each}" for each in there - MADE]
    return left


REFUSED: dict[str, tuple[list[Item], str]] = {
    "name": ([item(b"../../etc/new")], "name that leads outside: '../../etc/new'"),
    "hard link": (
        [hardlink(b"h", b"../../etc/shadow")],
        "name that leads outside: '../../etc/shadow'",
    ),
    "hard link to nothing": ([hardlink(b"h", b"/etc/shadow")], "hard link 'h' leads to no file"),
    "circle": ([symlink(b"a", b"b"), symlink(b"b", b"a"), item(b"a/f")], "too many links"),
    "whiteout of all": ([item(b".wh..")], "whiteout of no file: '.wh..'"),
    "whiteout above": ([item(b"etc/.wh...")], "whiteout of no file: 'etc/.wh...'"),
    "depth": ([folder(b"d/" * 4097)], "has more than 4096 folders in each other"),
    "owner": ([item(b"f", owner=(1 << 32, 0))], "impossible owner of 'f'"),
    "sparse map": (
        [sparse("1.0", b"f", 100, [(0, b"abcd")], said=[98, 4])],
        "the sparse map of 'f' does not fit its content",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(box: Ferry, busybox_tar: Path, outside: Path, case: str) -> None:
    items, why = REFUSED[case]
    load(box, busybox_tar, *items)
    before = seen(outside.parent, skip=[b"store"])
    line = said(box, *RUN, "--rm", "it:1", "true", code=125)
    assert why in line
    assert "layer sha256:" in line
    assert seen(outside.parent, skip=[b"store"]) == before
    assert unfinished(box) == []
    assert box.text("ps", "-aq") == ""
    box("system", "check")


@pytest.mark.parametrize("storage", STORAGES)
def test_links_to_outside(
    box: Ferry, busybox_tar: Path, outside: Path, tmp_path: Path, storage: str
) -> None:
    """A link in an image leads to what is in the image, for whoever follows it."""
    there = os.fsencode(outside)
    load(
        box,
        busybox_tar,
        symlink(b"l", there),
        item(b"l/inside", content=b"from the layer"),
        symlink(b"up", b"../" * 40 + there.lstrip(b"/")),
        item(b"up/too", content=b"too"),
        symlink(b"mnt", there),
        symlink(b"etc/hosts", there + b"/secret"),
        symlink(b"etc/mtab", there + b"/secret"),
    )
    flags = ("--storage", storage)
    assert (
        box.text(*RUN, *flags, "--name", "con", "it:1", "cat", "/l/inside", "/up/too")
        == "from the layertoo"
    )
    assert box.text("cp", "con:/l/inside", "-") != ""
    (tmp_path / "new").write_text("new")
    box("cp", tmp_path / "new", "con:/l/new")
    box("cp", tmp_path / "new", "con:/mnt/other")
    assert b"Could not find the file" in box("cp", "con:/l/secret2", "-", check=False).stderr
    content = box("export", "con").stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        names = set(archive.getnames())
    assert {f"{outside}/{name}".lstrip("/") for name in ("inside", "too", "new", "other")} < names
    box("commit", "con", "again:1")
    box("rm", "con")
    assert os.listdir(outside) == ["secret"]
    assert (outside / "secret").read_text() == "secret"


@pytest.fixture
def cleared(box: Ferry) -> Iterator[None]:
    """See to it that no test leaves folders that pytest could not remove."""
    yield
    subprocess.run(["rm", "-rf", box.root / "layers", box.root / "tmp"], check=True)


@pytest.mark.usefixtures("cleared")
@pytest.mark.parametrize("storage", STORAGES)
def test_deepest(box: Ferry, busybox_tar: Path, storage: str) -> None:
    """Folders deeper than a path can say are run, exported, committed and removed."""
    deep = b"d/" * 4096
    load(box, busybox_tar, item(deep + b"f", content=b"deep"))
    box(*RUN, "--name", "con", "--storage", storage, "it:1", "sh", "-c", "cd d/d/d && echo > new")
    for content in (box("export", "con").stdout, box("image", "export", "it:1").stdout):
        names = subprocess.run(["tar", "-t"], input=content, stdout=subprocess.PIPE, check=True)
        assert deep + b"f\n" in names.stdout
    box("commit", "con", "again:1")
    box("rm", "con")
    box("rmi", "it:1", "again:1")
    box("system", "prune", "--force")
    assert len(os.listdir(box.root / "layers")) <= 1
    assert unfinished(box) == []


def test_full(box: Ferry, busybox_tar: Path, tmp_path: Path) -> None:
    """A disk that runs full while a layer is unpacked leaves nothing of it."""
    with small_disk(tmp_path / "small", 24 << 20) as disk:
        small = Ferry(disk / "store")
        load(small, busybox_tar, item(b"large", content=os.urandom(6 << 20)))
        fill(disk, 5 << 20)
        flags = ("--rm", "--storage", "extract")
        line = said(small, *RUN, *flags, "it:1", "true", code=125)
        assert "No space left on device" in line
        assert unfinished(small) == []
        (disk / "filler").unlink()
        assert small.text(*RUN, *flags, "it:1", "stat", "-c", "%s", "large") == str(6 << 20)
