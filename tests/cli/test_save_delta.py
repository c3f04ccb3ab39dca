"""``ferry save --format ferry``: layers as differences against those that are there."""

import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.archives import docker_25, docker_before_25, names_in, packed
from tests.ferry import Ferry
from tests.images import Made, made, member, sha256, tar_of

RANDOM = random.Random(11)
FILES = {f"site-packages/pkg_{n}/code.py": RANDOM.randbytes(30_000) for n in range(12)}


def packages(version: int) -> bytes:
    """A layer of which each version has another time everywhere, and one package of its own."""
    own = {f"site-packages/pkg_0-{version}.0/code.py": random.Random(version).randbytes(9_000)}
    return tar_of(
        *(member(name, content, mtime=version) for name, content in (FILES | own).items())
    )


SYSTEM = tar_of(member("system", RANDOM.randbytes(50_000)))
V1 = made(SYSTEM, packages(1), names=["app:1"])
V2 = made(SYSTEM, packages(2), tar_of(member("end", b"end")), names=["app:2"])
ELSEWHERE = made(tar_of(member("other", b"o")), packages(1), names=["other:1"])
LAYER = V2.diff_ids[1]


def put(
    ferry: Ferry, folder: Path, *images: Made, root: Path | None = None, compression: str = "none"
) -> None:
    (folder / "in.tar").write_bytes(packed(docker_25(*images, compression=compression)))
    ferry("load", "-i", folder / "in.tar", root=root)


@pytest.fixture
def here(ferry: Ferry, tmp_path: Path) -> Ferry:
    put(ferry, tmp_path, V1, V2)
    return ferry


@pytest.fixture
def delta(here: Ferry, tmp_path: Path) -> Path:
    here("save", "--format", "ferry", "--base", "app:1", "-o", tmp_path / "delta.tar", "app:2")
    return tmp_path / "delta.tar"


def loaded(ferry: Ferry, root: Path, *args: str | Path) -> None:
    assert ferry("load", *args, root=root).stdout == b"Loaded image: app:2\n"
    assert ferry.text("images", "-q", "--no-trunc", "app:2", root=root) == V2.id
    assert "clean" in ferry.text("system", "check", "--verify", root=root)
    back = ferry("save", "app:2", root=root).stdout
    assert back == ferry("save", "app:2").stdout


def refusal(ferry: Ferry, root: Path, *args: str | Path) -> str:
    before = sorted((root / "image/blobs/sha256").glob("*"))
    done = ferry.run("load", *args, root=root, check=False)
    assert done.returncode == 1
    assert sorted((root / "image/blobs/sha256").glob("*")) == before
    assert not list((root / "tmp").iterdir())
    (line,) = done.stderr.decode().splitlines()
    return line.removeprefix("Error: ")


def test_a_small_archive_makes_the_same_image(here: Ferry, delta: Path, tmp_path: Path) -> None:
    put(here, tmp_path, V1, root=tmp_path / "site")
    names = names_in(delta.read_bytes())
    assert f"blobs/sha256/{LAYER[7:]}" not in names
    assert f"blobs/sha256/{V2.diff_ids[0][7:]}" not in names
    assert f"blobs/sha256/{V2.diff_ids[2][7:]}" in names
    assert delta.stat().st_size < len(packages(2)) // 10
    listed = here.text("load", "--list", "-i", delta, root=tmp_path / "site")
    assert "new here: 2 layers" in listed
    assert "missing" not in listed
    loaded(here, tmp_path / "site", "-i", delta)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_base_that_is_compressed_there(here: Ferry, tmp_path: Path, compression: str) -> None:
    """The layers that both share are missing there, in this form; the base of the other is not."""
    site = tmp_path / "site"
    put(here, tmp_path, V1, root=site, compression=compression)
    here("inventory", "-o", tmp_path / "inventory", root=site)
    delta = tmp_path / "delta.tar"
    here("save", "--format", "ferry", "--base", tmp_path / "inventory", "-o", delta, "app:2")
    assert delta.stat().st_size < len(packages(2)) // 3
    loaded(here, site, "-i", delta)


def test_by_an_archive_of_which_the_store_has_nothing(ferry: Ferry, tmp_path: Path) -> None:
    put(ferry, tmp_path, V2)
    put(ferry, tmp_path, V1, root=tmp_path / "site")
    for n, old in enumerate(
        (
            packed(docker_before_25(V1)),
            packed(docker_25(V1), "zstd"),
            packed(docker_25(V1, compression="gzip")),
        )
    ):
        (tmp_path / "v1.tar").write_bytes(old)
        delta = tmp_path / f"delta-{n}.tar"
        ferry("save", "--format", "ferry", "--base", tmp_path / "v1.tar", "-o", delta, "app:2")
        assert delta.stat().st_size < len(packages(2)) // 3
        loaded(ferry, tmp_path / "site", "-i", delta)
        ferry("rmi", "app:2", root=tmp_path / "site")


def test_against_layers_of_an_image_that_shares_none(ferry: Ferry, tmp_path: Path) -> None:
    put(ferry, tmp_path, V2, ELSEWHERE)
    put(ferry, tmp_path, ELSEWHERE, root=tmp_path / "site")
    delta = tmp_path / "delta.tar"
    ferry("save", "--format", "ferry", "--base", "other:1", "-o", delta, "app:2")
    assert delta.stat().st_size < len(packages(2)) // 2
    loaded(ferry, tmp_path / "site", "-i", delta)
    assert "on top of other:1" in refusal(ferry, tmp_path / "empty", "-i", delta)


@pytest.mark.parametrize("how", [["--compress", "gzip"], ["--split", "20k"]])
def test_in_other_wrappings(here: Ferry, tmp_path: Path, how: list[str]) -> None:
    put(here, tmp_path, V1, root=tmp_path / "site")
    delta = tmp_path / "delta.tar"
    base = ("--format", "ferry", "--base", "app:1")
    save: tuple[str | Path, ...] = ("save", *base, *how, "-o", delta, "app:2")
    here(*save)
    given = Path(f"{delta}.sha256") if how[0] == "--split" else delta
    if how[0] == "--split":
        second = Path(f"{delta}.002")
        content = second.read_bytes()
        second.unlink()
        here(*save, "--only", "2")
        assert second.read_bytes() == content
    loaded(here, tmp_path / "site", "-i", given)


def test_without_its_base(here: Ferry, delta: Path, tmp_path: Path) -> None:
    said = refusal(here, tmp_path / "empty", "-i", delta)
    assert said.startswith(f"{delta}: layer sha256:")
    assert said.endswith(f"on top of app:1 ({V1.id}): load that first")
    # The layer that is shared, and not the one that the difference is against.
    put(here, tmp_path, made(SYSTEM, names=["system:1"]), root=tmp_path / "half")
    said = refusal(here, tmp_path / "half", "-i", delta)
    assert said.startswith(f"{delta}: layer {LAYER} is missing")
    assert said.endswith(f"on top of app:1 ({V1.id}): load that first")


def test_verified_without_a_store(here: Ferry, delta: Path, tmp_path: Path) -> None:
    said = here.text("verify", delta, root=tmp_path / "none").splitlines()
    assert said[0].endswith("3 layers, 2 not in it")
    assert said[1] == f"Verified {delta}, on top of app:1 ({V1.id})"


def parts_of(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]


def deltas_in(parts: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the descriptors of the artifact and of the only delta."""
    (artifact,) = [
        each
        for each in json.loads(parts["index.json"])["manifests"]
        if each.get("artifactType") == "application/vnd.ferryman.deltas.v1"
    ]
    (one,) = json.loads(parts[f"blobs/sha256/{artifact['digest'][7:]}"])["layers"]
    return artifact, one


def rewritten(parts: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """Return an archive that says something else of its delta, with all digests right."""
    artifact, one = deltas_in(parts)
    manifest = json.loads(parts.pop(f"blobs/sha256/{artifact['digest'][7:]}"))
    manifest["layers"] = [one | changes]
    content = json.dumps(manifest).encode()
    parts[f"blobs/sha256/{sha256(content)[7:]}"] = content
    index = json.loads(parts["index.json"])
    for each in index["manifests"]:
        if each["digest"] == artifact["digest"]:
            each |= {"digest": sha256(content), "size": len(content)}
    parts["index.json"] = json.dumps(index).encode()
    return parts


def test_a_damaged_delta(here: Ferry, delta: Path, tmp_path: Path) -> None:
    put(here, tmp_path, V1, root=tmp_path / "site")
    _, one = deltas_in(parts_of(delta.read_bytes()))
    name = f"blobs/sha256/{one['digest'][7:]}"
    whole = parts_of(delta.read_bytes())[name]
    for spoiled in (whole[:-1], whole[:200] + b"\xff" + whole[201:], b"", None):
        parts = parts_of(delta.read_bytes())
        if spoiled is None:
            del parts[name]
        else:
            parts[name] = spoiled
        (tmp_path / "bad.tar").write_bytes(packed(parts))
        for said in (
            refusal(here, tmp_path / "site", "-i", tmp_path / "bad.tar"),
            here.run("verify", tmp_path / "bad.tar", check=False).stderr.decode(),
        ):
            assert one["digest"] in said


def test_a_delta_that_makes_something_else(here: Ferry, delta: Path, tmp_path: Path) -> None:
    put(here, tmp_path, V1, root=tmp_path / "site")
    parts = parts_of(delta.read_bytes())
    _, one = deltas_in(parts)
    # A delta that is all right, of another layer.
    other = tmp_path / "other.tar"
    v3 = made(SYSTEM, packages(3), names=["app:3"])
    put(here, tmp_path, v3)
    here("save", "--format", "ferry", "--base", "app:1", "-o", other, "app:3")
    theirs = parts_of(other.read_bytes())
    _, wrong = deltas_in(theirs)
    name = f"blobs/sha256/{wrong['digest'][7:]}"
    bad = rewritten({**parts, name: theirs[name]}, digest=wrong["digest"], size=wrong["size"])
    (tmp_path / "bad.tar").write_bytes(packed(bad))
    assert f"blob {LAYER} is damaged" in refusal(
        here, tmp_path / "site", "-i", tmp_path / "bad.tar"
    )
    # Annotations that are none, and bases that are not the delta's.
    for said, says in (
        ({}, "invalid digest"),
        ({"ferryman.delta.result": LAYER, "ferryman.delta.bases": "x"}, "invalid digest"),
        ({"ferryman.delta.result": LAYER, "ferryman.delta.bases": ""}, "cannot undo"),
        (
            {"ferryman.delta.result": LAYER, "ferryman.delta.bases": V2.diff_ids[0]},
            "cannot undo",
        ),
    ):
        bad = rewritten(parts_of(delta.read_bytes()), annotations=said)
        (tmp_path / "bad.tar").write_bytes(packed(bad))
        assert says in refusal(here, tmp_path / "site", "-i", tmp_path / "bad.tar")
    assert one["annotations"]["ferryman.delta.result"] == LAYER


def test_it_needs_a_base(here: Ferry) -> None:
    done = here.run("save", "--format", "ferry", "app:2", check=False)
    assert done.stderr == b"Error: --format ferry needs a --base to take the differences from\n"


def test_the_same_bytes_each_time(here: Ferry, delta: Path, tmp_path: Path) -> None:
    again = here("save", "--format", "ferry", "--base", "app:1", "app:2").stdout
    assert again == delta.read_bytes()
