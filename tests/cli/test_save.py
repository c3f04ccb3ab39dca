"""``ferry save``: what is chosen, the forms, and that an output is whole or not there."""

import gzip
import hashlib
import io
import json
import os
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.archives import docker_25, docker_before_25, names_in, packed, platforms
from tests.ferry import Ferry
from tests.images import Made, check_archive, made, member, small, tar_of
from tests.terminal import on_terminal

ONE = small("one", "one:1", "one:2", "quay.io/other:1")
TWO = small("two", "two:1")
NAMELESS = small("nameless")


@pytest.fixture
def full(ferry: Ferry, tmp_path: Path) -> Ferry:
    """A store with three images, one of them without a name."""
    archive = tmp_path / "all.tar"
    archive.write_bytes(packed(docker_25(ONE, TWO, NAMELESS)))
    ferry("load", "-i", archive)
    return ferry


def entries(archive: bytes) -> list[dict[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = opened.extractfile("manifest.json")
        assert found
        return list(json.loads(found.read()))


def tags(archive: bytes) -> set[str]:
    return {str(tag) for entry in entries(archive) for tag in entry.get("RepoTags") or ()}


def saved(ferry: Ferry, *args: str | Path) -> bytes:
    return ferry("save", *args).stdout


@pytest.mark.parametrize(
    ("asked", "want"),
    [
        (["one:1"], {"one:1"}),
        (["one"], {"one:1", "one:2"}),
        (["docker.io/library/one:2"], {"one:2"}),
        (["one:1", "two:1"], {"one:1", "two:1"}),
        (["one:1", "one:1"], {"one:1"}),
        (["quay.io/other"], {"quay.io/other:1"}),
        ([ONE.id], set()),
        ([ONE.id[7:19]], set()),
        ([NAMELESS.id], set()),
        (["--all"], {"one:1", "one:2", "quay.io/other:1", "two:1"}),
        (["--filter", "reference=two*"], {"two:1"}),
    ],
)
def test_what_is_chosen(full: Ferry, asked: list[str], want: set[str]) -> None:
    assert tags(saved(full, *asked)) == want


def test_by_digest(full: Ferry) -> None:
    (digest,) = set(full.text("images", "--digests", "--format", "{{.Digest}}", "two").split())
    archive = saved(full, f"two@{digest}")
    assert tags(archive) == set()
    assert [entry["Config"] for entry in entries(archive)] == [f"blobs/sha256/{TWO.id[7:]}"]


def test_a_shared_layer_is_there_once(full: Ferry) -> None:
    names = names_in(saved(full, "one:1", "two:1"))
    assert len(names) == len(set(names))
    assert sum(ONE.diff_ids[0][7:] in name for name in names) == 1


def test_the_archive_says_what_is_true(full: Ferry) -> None:
    image = Made(ONE.config, ONE.layers, ("one:1",))
    check_archive(saved(full, "one:1"), image)


def test_the_same_image_is_the_same_bytes(full: Ferry, tmp_path: Path) -> None:
    archive = tmp_path / "one.tar"
    full("save", "-o", archive, "one:1")
    content = archive.read_bytes()
    assert saved(full, "one:1") == content
    other = tmp_path / "other"
    full("load", "-i", archive, root=other)
    assert full("save", "one:1", root=other).stdout == content
    for form in ("none", "gzip", "zstd", "zstd:9"):
        twice = [saved(full, "--compress", form, "one:1", "two:1") for _ in range(2)]
        assert twice[0] == twice[1]


def test_compressed_as_a_whole(full: Ferry) -> None:
    plain = saved(full, "one:1")
    assert gzip.decompress(saved(full, "--compress", "gzip", "one:1")) == plain
    for choice in ("zstd", "zstd:1", "zstd:19"):
        content = saved(full, "--compress", choice, "one:1")
        assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read() == plain


@pytest.mark.parametrize("choice", ["lzma", "gzip:99", "zstd:0", "zstd:20", "zstd:x", ""])
def test_unknown_compression(full: Ferry, choice: str) -> None:
    done = full("save", "--compress", choice, "one:1", check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"invalid compression" in done.stderr


def test_oci_form(full: Ferry, tmp_path: Path) -> None:
    content = saved(full, "--format", "oci", "one:1")
    names = names_in(content)
    assert "manifest.json" not in names
    assert "repositories" not in names
    assert {"oci-layout", "index.json"} <= set(names)
    other = tmp_path / "other"
    (archive := tmp_path / "oci.tar").write_bytes(content)
    assert full("load", "-i", archive, root=other).stdout == b"Loaded image: one:1\n"


def test_platforms(ferry: Ferry, tmp_path: Path) -> None:
    images = [
        made(tar_of(member("which", arch.encode())), architecture=arch)
        for arch in ("amd64", "s390x")
    ]
    archive = tmp_path / "many.tar"
    archive.write_bytes(packed(platforms("docker.io/library/many:1", *images)))
    ferry("load", "-i", archive)
    for image, arch in zip(images, ("amd64", "s390x"), strict=True):
        content = saved(ferry, "--platform", f"linux/{arch}", "many:1")
        (entry,) = entries(content)
        assert entry["Config"] == f"blobs/sha256/{image.id[7:]}"
    done = ferry("save", "--platform", "linux/arm/v7", "many:1", check=False)
    assert done.returncode == 1
    assert b"no suitable export target found for platform linux/arm/v7" in done.stderr


def test_compose(full: Ferry, tmp_path: Path) -> None:
    compose = tmp_path / "compose.yaml"
    compose.write_text("services: {web: {image: 'one:${TAG:-2}'}, db: {image: two:1}}\n")
    assert tags(saved(full, "--compose", compose)) == {"one:2", "two:1"}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["missing"], 1, "Error: No such image: missing:latest"),
        (["one:9"], 1, "Error: No such image: one:9"),
        (["one:1", "missing:1"], 1, "Error: No such image: missing:1"),
        (["-o", "/nowhere/at/all.tar", "one:1"], 1, "Error: failed to save image: invalid output"),
        (["-o", "/tmp", "one:1"], 1, "Error: failed to save image: cannot write to a directory"),
        (["--filter", "reference=none*"], 1, "Error: no image matches"),
        ([], 1, "ferry: 'ferry save' requires at least 1 argument"),
    ],
)
def test_refusals(full: Ferry, args: list[str], code: int, words: str) -> None:
    done = full("save", *args, check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.decode().startswith(words)


def test_not_to_a_terminal(full: Ferry) -> None:
    ended = on_terminal(full.at(None), "save", "one:1")
    assert ended.code == 1
    refusal = "cowardly refusing to save to a terminal. Use the -o flag or redirect"
    assert ended.lines == [f"Error: {refusal}"]


def test_bars_for_a_file_on_a_terminal(full: Ferry, tmp_path: Path) -> None:
    ended = on_terminal(full.at(None), "save", "-o", tmp_path / "one.tar", "one:1")
    assert ended.code == 0
    for diff_id in ONE.diff_ids:
        assert f"{diff_id[7:19]}: Saving [{'=' * 50}>]  10.24kB/10.24kB" in ended.text
    quiet = on_terminal(full.at(None), "save", "-q", "-o", tmp_path / "one.tar", "one:1")
    assert quiet == ("", 0)


def test_an_output_that_was_there_is_replaced_at_once(full: Ferry, tmp_path: Path) -> None:
    out = tmp_path / "out.tar"
    out.write_text("before")
    full("save", "-o", out, "one:1")
    assert out.stat().st_mode & 0o777 == 0o600
    assert tags(out.read_bytes()) == {"one:1"}
    before = out.read_bytes()
    assert full("save", "-o", out, "missing", check=False).returncode == 1
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def big_store(ferry: Ferry, tmp_path: Path, size: int) -> None:
    tar = tmp_path / "big.tar"
    with tarfile.open(tar, "w") as archive:
        info = tarfile.TarInfo("big")
        info.size = size
        with open("/dev/urandom", "rb") as content:
            archive.addfile(info, content)
    ferry("import", tar, "big:1")
    tar.unlink()


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_nothing(ferry: Ferry, tmp_path: Path) -> None:
    big_store(ferry, tmp_path, 64 << 20)
    folder = tmp_path / "out"
    folder.mkdir()
    process = ferry.popen("save", "--compress", "zstd:19", "-o", folder / "big.tar", "big:1")
    deadline = time.monotonic() + 20
    while not any(folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert not any(folder.iterdir())
    assert not os.listdir(ferry.root / "meta/leases")


def test_a_reader_that_goes_away(ferry: Ferry, tmp_path: Path) -> None:
    big_store(ferry, tmp_path, 8 << 20)
    process = ferry.popen("save", "big:1")
    assert process.stdout
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(20) == 1
    assert process.stderr
    assert process.stderr.read() == (
        b"Error: failed to save image: nobody reads the output any more\n"
    )


def test_nothing_is_staged(ferry: Ferry, tmp_path: Path) -> None:
    """While an archive goes out, the disk holds no second copy of it (moby#39464)."""
    big_store(ferry, tmp_path, 32 << 20)

    def taken() -> int:
        return sum(p.stat().st_blocks * 512 for p in tmp_path.rglob("*") if p.is_file())

    before = taken()
    most = 0
    process = ferry.popen("save", "big:1")
    assert process.stdout
    digest = hashlib.sha256()
    while piece := process.stdout.read(1 << 20):
        digest.update(piece)
        most = max(most, taken())
    assert process.wait() == 0
    assert most - before < 1 << 16


def test_a_blob_that_is_damaged_is_found_before_the_first_byte(full: Ferry, tmp_path: Path) -> None:
    blob = full.root / "image/blobs/sha256" / ONE.diff_ids[1][7:]
    blob.write_bytes(b"short")
    out = tmp_path / "out.tar"
    done = full("save", "-o", out, "one:1", check=False)
    assert done.returncode == 1
    assert b"run `ferry system check --repair`" in done.stderr
    assert not out.exists()


def test_to_a_pipe_that_has_a_name(full: Ferry, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = full.popen("save", "-o", fifo, "two:1")
    content = fifo.read_bytes()
    assert process.wait(20) == 0
    assert tags(content) == {"two:1"}
    assert fifo.is_fifo()


def test_what_old_docker_wrote_goes_out_as_new_docker_writes(ferry: Ferry, tmp_path: Path) -> None:
    archive = tmp_path / "old.tar"
    archive.write_bytes(packed(docker_before_25(TWO)))
    ferry("load", "-i", archive)
    check_archive(saved(ferry, "two:1"), TWO)
