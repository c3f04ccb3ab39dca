"""What a list of images says, before anything is copied."""

import json
from pathlib import Path

import pytest

from ferryman.errors import FerryError, UsageError
from ferryman.operations import copy as copies
from ferryman.operations import sync
from ferryman.operations.sync import Job
from ferryman.store.images import find
from ferryman.store.layout import open_store
from tests.images import docker_archive, packed, small

DIGEST = "sha256:" + "a" * 64


def said(folder: Path, text: str, prefix: str = "", *, scoped: bool = False) -> list[Job]:
    (folder / "list.yml").write_text(text)
    return list(sync.jobs(str(folder / "list.yml"), prefix, scoped=scoped))


@pytest.mark.parametrize(
    ("prefix", "scoped", "destination"),
    [
        ("docker://there:5000/mirror", False, "docker://there:5000/mirror/app:1"),
        ("docker://there:5000", True, "docker://there:5000/here.example/team/app:1"),
        ("dir:/out", False, "dir:/out/app:1"),
        ("dir:/out", True, "dir:/out/here.example/team/app:1"),
        ("oci:/out", False, "oci:/out:app:1"),
        ("oci:/out", True, "oci:/out:here.example/team/app:1"),
        ("s3://bucket/prefix/", False, "s3://bucket/prefix:app:1"),
        ("ssh://me@host", False, "ssh://me@host/here.example/team/app:1"),
        ("ferry:", False, "ferry:here.example/team/app:1"),
        ("docker-daemon:", False, "docker-daemon:here.example/team/app:1"),
        ("containers-storage:[vfs@/a+/b]", False,
         "containers-storage:[vfs@/a+/b]here.example/team/app:1"),
    ],
)  # fmt: skip
def test_where_an_image_goes(tmp_path: Path, prefix: str, scoped: bool, destination: str) -> None:
    (job,) = said(tmp_path, "- here.example/team/app:1\n", prefix, scoped=scoped)
    assert job == Job("docker://here.example/team/app:1", destination)


def test_lists_of_all_kinds(tmp_path: Path) -> None:
    assert said(tmp_path, "- docker:27\n- a oci:/x:y\n- oci:/l:n:2\n- dir:/d/e:3\n", "ferry:") == [
        Job("docker://docker:27", "ferry:docker:27"),
        Job("docker://a", "oci:/x:y"),
        Job("oci:/l:n:2", "ferry:n:2"),
        Job("dir:/d/e:3", "ferry:e:3"),
    ]
    listed = {"here.example": {"images": {"team/app": ["1", DIGEST]}, "tls-verify": True}}
    assert said(tmp_path, json.dumps(listed), "docker://there/x") == [
        Job("docker://here.example/team/app:1", "docker://there/x/app:1"),
        Job(f"docker://here.example/team/app@{DIGEST}", f"docker://there/x/app@{DIGEST}"),
    ]
    compose = "services: {a: {image: 'a:1'}, b: {image: 'b@" + DIGEST + "'}}"
    assert said(tmp_path, compose, "docker://there/x") == [
        Job("docker://a:1", "docker://there/x/a:1"),
        Job(f"docker://b@{DIGEST}", f"docker://there/x/b@{DIGEST}"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "3", "- [a]", "- a b c", "- 3", "{", "a: b", "a: {images: [b]}",
        "a: {images: {b: 1}}", "a: {credentials: {}}", "a: {tls-verify: false}",
        "a: {images-by-semver: {b: '>1'}}", "services: {}", "services: {a: {}}",
        "a: &a [*a, *a]", "[" * 5000,
    ],
)  # fmt: skip
def test_lists_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(FerryError) as raised:
        said(tmp_path, text, "ferry:")
    assert "\n" not in str(raised.value)


def test_what_has_no_place_is_told_in_its_turn(tmp_path: Path) -> None:
    one, two = said(tmp_path, "- a:1\n- b:1 dir:/x\n")
    assert one.error
    assert two == Job("docker://b:1", "dir:/x")
    for prefix in ("docker-archive:/x", "oci-archive:/x", "nowhere:"):
        (job,) = said(tmp_path, "- a:1\n", prefix)
        assert job.error
    with pytest.raises(UsageError):
        sync.placed(copies.parse("dir:/A B"), "ferry:")


def test_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        archive = packed(docker_archive(small(name, f"{name}:1")))
        (tmp_path / f"{name}.tar").write_bytes(archive)
    (tmp_path / "bad.tar").write_bytes(archive[:5000])
    sources = [f"docker-archive:{tmp_path}/{name}.tar:{name}:1" for name in ("a", "bad", "b")]
    jobs = said(tmp_path, "".join(f"- {source}\n" for source in sources), "ferry:")
    store = open_store(str(tmp_path / "store"))
    done = list(sync.sync(copies.means(lambda: store), iter(jobs)))
    assert [bool(each.error) for each in done] == [False, True, False]
    assert find(store, "a:1").digest == done[0].copied.target.digest  # type: ignore[union-attr]
    assert find(store, "b:1").digest == done[2].copied.target.digest  # type: ignore[union-attr]
