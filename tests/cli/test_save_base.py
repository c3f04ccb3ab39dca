"""``ferry save --base`` and ``ferry inventory``: only what is missing there."""

import json
from pathlib import Path

import pytest

from tests.archives import docker_25, docker_before_25, names_in, packed
from tests.ferry import Ferry
from tests.images import Made, made, member, tar_of

BELOW = [tar_of(member(name, name.encode() * 5000)) for name in ("low", "middle")]
TOP = tar_of(member("top", b"t" * 500))
BASE = made(*BELOW, names=["base:1"])
APP = made(*BELOW, TOP, names=["app:2"])
OTHER = made(tar_of(member("other", b"o")), names=["other:1"])


def put(ferry: Ferry, folder: Path, *images: Made, root: Path | None = None) -> None:
    (folder / "in.tar").write_bytes(packed(docker_25(*images)))
    ferry("load", "-i", folder / "in.tar", root=root)


@pytest.fixture
def both(ferry: Ferry, tmp_path: Path) -> Ferry:
    put(ferry, tmp_path, BASE, APP, OTHER)
    return ferry


@pytest.fixture
def site(both: Ferry, tmp_path: Path) -> Path:
    """The root of a store with the base alone."""
    put(both, tmp_path, BASE, root=tmp_path / "site")
    return tmp_path / "site"


def blobs_in(archive: bytes) -> set[str]:
    return {f"sha256:{name[13:]}" for name in names_in(archive) if name.startswith("blobs/")}


@pytest.fixture
def bases(both: Ferry, site: Path, tmp_path: Path) -> dict[str, str]:
    """One base in each of its forms."""
    (tmp_path / "new.tar").write_bytes(packed(docker_25(BASE)))
    (tmp_path / "old.tar.gz").write_bytes(packed(docker_before_25(BASE), "gzip"))
    both("save", "--format", "oci", "-o", tmp_path / "oci.tar", "base:1")
    both("save", "--split", "4k", "-o", tmp_path / "volumes", "base:1")
    both("inventory", "-o", tmp_path / "inventory", root=site)
    docker = {"Id": BASE.id, "RepoTags": ["base:1"], "RootFS": {"Layers": BASE.diff_ids}}
    (tmp_path / "listing").write_text(json.dumps([docker]))
    files = ("new.tar", "old.tar.gz", "oci.tar", "inventory", "listing", "volumes.002")
    return {name: str(tmp_path / name) for name in files} | {"image": "base:1", "id": BASE.id}


def test_only_what_is_missing(
    both: Ferry, site: Path, bases: dict[str, str], tmp_path: Path
) -> None:
    for form in ("docker", "oci"):
        for base in bases.values():
            delta = both("save", "--format", form, "--base", base, "app:2").stdout
            assert blobs_in(delta) & set(APP.diff_ids) == {APP.diff_ids[-1]}
            assert both("load", root=site, input=delta).stdout == b"Loaded image: app:2\n"
            assert both.text("images", "-q", "--no-trunc", "app", root=site) == APP.id
            both("rmi", "app:2", root=site)


def test_without_its_base(both: Ferry, bases: dict[str, str], tmp_path: Path) -> None:
    for base in bases.values():
        delta = tmp_path / "delta.tar"
        both("save", "--base", base, "-o", delta, "app:2")
        done = both.run("load", "-i", delta, root=tmp_path / "empty", check=False)
        assert done.returncode == 1
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith(f"Error: {delta}: layer {APP.diff_ids[0]} is missing")
        assert line.endswith(f"on top of base:1 ({BASE.id}): load that first")
        assert not both.text("images", "-aq", root=tmp_path / "empty")
        assert not list((tmp_path / "empty/image/blobs/sha256").iterdir())
        listed = both.text("load", "--list", "-i", delta, root=tmp_path / "empty")
        assert "2 missing" in listed


def test_the_same_bases_give_the_same_bytes(both: Ferry, tmp_path: Path) -> None:
    one = both("save", "--base", "base:1", "app:2").stdout
    assert both("save", "--base", "base:1", "app:2").stdout == one


def test_nothing_in_common(both: Ferry) -> None:
    whole = both("save", "app:2").stdout
    assert both("save", "--base", "other:1", "app:2").stdout == whole


def test_several_bases(both: Ferry) -> None:
    delta = both("save", "--base", "base:1", "--base", "other:1", "app:2", "other:1").stdout
    assert blobs_in(delta) & {*APP.diff_ids, *OTHER.diff_ids} == {APP.diff_ids[-1]}


def test_a_layer_that_another_image_needs_in_another_place(ferry: Ferry, tmp_path: Path) -> None:
    """docker looks for a layer in its place: below the other one it is not there."""
    turned = made(*reversed(BELOW), names=["turned:1"])
    put(ferry, tmp_path, BASE, APP, turned)
    delta = ferry("save", "--base", "base:1", "app:2", "turned:1").stdout
    assert blobs_in(delta) >= {*APP.diff_ids}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{}", "ferryInventory"),
        (b"[1]", "docker image inspect"),
        (b"no archive", "not a tar"),
        (b"", "not"),
    ],
)
def test_a_base_that_is_none(both: Ferry, tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "it").write_bytes(content)
    done = both.run("save", "--base", tmp_path / "it", "app:2", check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"Error: {tmp_path}/it")


def test_a_base_that_is_not_there(both: Ferry) -> None:
    done = both.run("save", "--base", "nowhere:1", "app:2", check=False)
    assert done.stderr == (
        b"Error: no base nowhere:1: neither an image of the store nor a file has this name\n"
    )


def test_the_inventory_of_a_listing(both: Ferry, bases: dict[str, str], tmp_path: Path) -> None:
    listing = Path(bases["listing"]).read_bytes()
    said = both("inventory", "--from", "-", input=listing).stdout
    assert json.loads(said)["engine"] == "docker"
    (tmp_path / "made").write_bytes(said)
    delta = both("save", "--base", tmp_path / "made", "app:2").stdout
    assert blobs_in(delta) & set(APP.diff_ids) == {APP.diff_ids[-1]}
