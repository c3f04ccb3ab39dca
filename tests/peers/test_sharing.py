"""What images have in common is in an archive once, and is written to a store once."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.conftest import LAYERED
from tests.peers.engines import in_docker, in_ferry

pytestmark = pytest.mark.peer

TWO = ("ferry-test/left:1", "ferry-test/right:1")


@pytest.fixture
def two_on_one_base(
    dockerd: Command, layered_image: str, tmp_path: Path
) -> Iterator[tuple[str, str]]:
    """Two images that docker built on the layered one."""
    for name in TWO:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "side").write_text(name)
        (folder / "Dockerfile").write_text(f"FROM {layered_image}\nCOPY side /srv/side\n")
        dockerd.run("build", "--quiet", "--tag", name, folder)
    yield TWO
    dockerd.run("rmi", "--force", *TWO)


def files(store: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode, time of change and size of every blob."""
    return {
        str(path.relative_to(store)): (status.st_ino, status.st_ctime_ns, status.st_size)
        for path in (store / "image/blobs").rglob("*")
        if path.is_file()
        for status in [path.stat()]
    }


def large(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return [member.name for member in tar if member.size > 100_000_000]


def test_the_base_is_in_an_archive_once(
    dockerd: Command, two_on_one_base: tuple[str, str], ferry: Ferry, store: Path, tmp_path: Path
) -> None:
    left, right = two_on_one_base
    before = [in_docker(dockerd, name) for name in TWO]
    assert before[0].layers[:-1] == before[1].layers[:-1]
    for name, archive in zip((left, right), ("left.tar", "right.tar"), strict=True):
        dockerd.run("save", "-o", tmp_path / archive, name)

    ferry("load", "-i", tmp_path / "left.tar")
    with_left = files(store)
    ferry("load", "-i", tmp_path / "right.tar")
    with_both = files(store)
    new = [size for name, (_, _, size) in with_both.items() if name not in with_left]
    # A layer of one file, a config and a manifest are new; nothing else has been written.
    assert len(new) == 3
    assert sum(new) < 50_000
    assert with_left.items() <= with_both.items()
    assert [in_ferry(ferry, name) for name in TWO] == before

    for archive in ("left.tar", "right.tar"):
        ferry("load", "-i", tmp_path / archive)
        with (tmp_path / archive).open("rb") as stdin:
            ferry("load", stdin=stdin)
    assert files(store) == with_both

    for form in ("docker", "oci"):
        together = tmp_path / f"both-{form}.tar"
        ferry("save", "--format", form, "-o", together, left, right)
        assert len(large(together)) == 1
        ferry("load", "-i", together)
        with together.open("rb") as stdin:
            ferry("load", stdin=stdin)
        assert files(store) == with_both
    with tarfile.open(together) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))


def test_the_store_has_the_base_of_an_archive_that_arrives_later(
    layered_tar: Path, two_on_one_base: tuple[str, str], dockerd: Command, ferry: Ferry, store: Path
) -> None:
    """Both ways: the layers that are here need not be taken in from a pipe either."""
    ferry("load", "-i", layered_tar)
    before = files(store)
    writer = dockerd.popen("save", *TWO)
    reader = ferry.popen("load", stdin=writer.stdout)
    assert writer.stdout is not None
    writer.stdout.close()
    _, errors = reader.communicate(timeout=300)
    assert (reader.returncode, writer.wait(timeout=60)) == (0, 0), errors
    after = files(store)
    assert before.items() <= after.items()
    # Two layers of one file, two configs, two manifests.
    assert len(after) == len(before) + 6
    assert in_ferry(ferry, LAYERED).layers == in_ferry(ferry, TWO[0]).layers[:-1]
