"""``ferry load``: docker's words and what docker lacks."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import archives
from tests.archives import (
    FORMS,
    REF_NAME,
    WHOLE,
    docker_25,
    docker_before_25,
    kaniko,
    oci,
    packed,
    unpacked,
)
from tests.disks import small_disk
from tests.ferry import Ferry
from tests.images import Made, index, made, member, named, put, put_image, small, tar_of
from tests.terminal import on_terminal

ONE = small("one", "one:1", "quay.io/one:2")
TWO = small("two", "two:1")
NAMELESS = small("nameless")


def written(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two images, as docker before 25 writes them."""
    return written(packed(docker_before_25(ONE, TWO)), tmp_path / "archive.tar")


def lines(ferry: Ferry, *args: str | Path, **how: Any) -> list[str]:
    return ferry("load", *args, **how).stdout.decode().splitlines()


def refused(ferry: Ferry, *args: str | Path, **how: Any) -> str:
    """Return the one line that a load ends with; its exit code must be 1, and nothing changed."""
    before = tags(ferry)
    done = ferry("load", *args, check=False, **how)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("Error: ")
    assert tags(ferry) == before
    assert unfinished(ferry.root) == []
    return line.removeprefix("Error: ")


def tags(ferry: Ferry) -> dict[str, str]:
    """Return the IDs of all images by their names."""
    said = ferry.text("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    return dict(line.split() for line in said.splitlines())


def unfinished(root: Path) -> list[Path]:
    return [path for place in ("tmp", "meta/leases") for path in (root / place).glob("*")]


def blobs(ferry: Ferry) -> set[str]:
    return {path.name for path in (ferry.root / "image/blobs/sha256").iterdir()}


def inspected(ferry: Ferry, name: str) -> dict[str, Any]:
    (said,) = json.loads(ferry.text("inspect", name))
    assert isinstance(said, dict)
    return said


LOADED = ["Loaded image: one:1", "Loaded image: quay.io/one:2", "Loaded image: two:1"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", ["file", "stdin", "pipe", "folder"])
def test_any_form_from_anywhere(form: str, way: str, ferry: Ferry, tmp_path: Path) -> None:
    parts = FORMS[form](ONE, TWO, NAMELESS)
    content = packed(parts)
    path = written(content, tmp_path / "archive")
    if way == "pipe":
        said = lines(ferry, input=content)
    elif way == "stdin":
        with path.open("rb") as stdin:
            said = lines(ferry, stdin=stdin)
    else:
        place = path if way == "file" else unpacked(parts, tmp_path / "folder")
        said = lines(ferry, "-i", place)
    assert said == [*LOADED, f"Loaded image ID: {NAMELESS.id}"]
    assert tags(ferry) == {
        "one:1": ONE.id,
        "quay.io/one:2": ONE.id,
        "two:1": TWO.id,
        "<none>:<none>": NAMELESS.id,
    }
    assert inspected(ferry, "one:1")["RootFS"]["Layers"] == ONE.diff_ids
    assert "clean" in ferry.text("system", "check", "--verify")
    assert unfinished(ferry.root) == []


@pytest.mark.parametrize("compression", [name for name in WHOLE if name != "none"])
@pytest.mark.parametrize("form", [docker_before_25, kaniko])
def test_compressed_as_a_whole(
    compression: str, form: Callable[..., Any], ferry: Ferry, tmp_path: Path
) -> None:
    """Layers may be compressed once more within."""
    content = packed(form(ONE, TWO), compression)
    assert lines(ferry, "--input", written(content, tmp_path / "misnamed.tar")) == LOADED
    other = Ferry(tmp_path / "other")
    assert lines(other, input=content) == LOADED
    assert tags(other) == tags(ferry)


def test_what_comes_again_writes_nothing(ferry: Ferry, archive: Path) -> None:
    ferry("load", "-i", archive)
    before = {path: path.stat().st_ino for path in ferry.root.rglob("*") if path.is_file()}
    assert lines(ferry, "-i", archive) == LOADED
    assert lines(ferry, input=archive.read_bytes()) == LOADED
    assert {p: p.stat().st_ino for p in ferry.root.rglob("*") if p.is_file()} == before


def test_what_is_shared_is_here_once(ferry: Ferry) -> None:
    ferry("load", input=packed(docker_before_25(ONE)))
    before = blobs(ferry)
    ferry("load", input=packed(docker_before_25(TWO)))
    # A layer of its own, a config and a manifest.
    assert len(blobs(ferry) - before) == 3


def test_the_same_image_in_another_form_is_the_same_image(ferry: Ferry) -> None:
    ferry("load", input=packed(oci(ONE, compression="gzip")))
    before = blobs(ferry)
    ferry("load", input=packed(docker_before_25(ONE)))
    assert blobs(ferry) == before


@pytest.mark.parametrize("missing", [True, False], ids=["not here", "here"])
def test_an_archive_without_a_layer(missing: bool, ferry: Ferry) -> None:
    for form in (docker_before_25, docker_25, oci):
        parts = form(TWO)
        (name,) = [n for n, part in parts.items() if part == TWO.layers[0]]
        del parts[name]
        if missing:
            words = f"stdin: layer {TWO.diff_ids[0]} is missing: neither the archive nor the store"
            assert words in refused(ferry, input=packed(parts))
        else:
            ferry("load", input=packed(docker_before_25(ONE)))  # shares it
            assert lines(ferry, input=packed(parts)) == ["Loaded image: two:1"]


# A name in use


def test_a_name_in_use_goes_to_the_new_image(ferry: Ferry) -> None:
    ferry("load", input=packed(docker_before_25(small("old", "app:1"))))
    old, new = small("old", "app:1"), small("new", "app:1")
    assert lines(ferry, input=packed(oci(new))) == [
        f"The image app:1 already exists, renaming the old one with ID {old.id} to empty string",
        "Loaded image: app:1",
    ]
    assert tags(ferry) == {"app:1": new.id, "<none>:<none>": old.id}
    # Not so where it is the same image.
    assert lines(ferry, input=packed(oci(new))) == ["Loaded image: app:1"]


def test_no_clobber(ferry: Ferry) -> None:
    old, new = small("old", "app:1"), small("new", "app:1", "app:2")
    ferry("load", input=packed(oci(old)))
    assert lines(ferry, "--no-clobber", input=packed(oci(new))) == [
        f"The image app:1 already exists, keeping it: loaded image ID: {new.id}",
        "Loaded image: app:2",
    ]
    assert tags(ferry) == {"app:1": old.id, "app:2": new.id}
    third = small("third", "app:1")
    ferry("load", "--no-clobber", input=packed(oci(third)))
    assert tags(ferry) == {"app:1": old.id, "app:2": new.id, "<none>:<none>": third.id}


# Other names


def test_the_name_it_gets_here(ferry: Ferry) -> None:
    content = packed(oci(ONE))
    assert lines(ferry, "-t", "mine", "--tag", "quay.io/mine:2", input=content) == [
        "Loaded image: mine:latest",
        "Loaded image: quay.io/mine:2",
    ]
    assert tags(ferry) == {"mine:latest": ONE.id, "quay.io/mine:2": ONE.id}


def test_the_name_for_one_of_several(ferry: Ferry, archive: Path) -> None:
    words = "holds 2 images: say which one is to be named mine:1"
    assert refused(ferry, "-i", archive, "-t", "mine:1") == f"{archive} {words}"
    assert lines(ferry, "-i", archive, "-t", "mine:1", "two:1") == ["Loaded image: mine:1"]
    assert tags(ferry) == {"mine:1": TWO.id}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Mine:1", "invalid reference format: repository name (library/Mine) must be lowercase"),
        ("mine:", "invalid reference format"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal"),
        (f"mine@{ONE.id}", "refusing to create a tag with a digest reference"),
        ("sha256:1", "refusing to create an ambiguous tag using digest algorithm as name"),
    ],
)
def test_no_name_to_get(name: str, words: str, ferry: Ferry) -> None:
    assert words in refused(ferry, "-t", name, input=packed(oci(ONE)))


# Only some images


@pytest.mark.parametrize(
    ("wanted", "loaded"),
    [
        (["one:1"], ["one:1"]),
        (["docker.io/library/one:1"], ["one:1"]),
        (["two"], ["two:1"]),
        (["quay.io/one"], ["quay.io/one:2"]),
        (["two:1", "one:1"], ["one:1", "two:1"]),
        (["two:1", "two"], ["two:1"]),
        ([ONE.id], ["one:1", "quay.io/one:2"]),
        ([ONE.id[7:19]], ["one:1", "quay.io/one:2"]),
        ([ONE.id[:15]], ["one:1", "quay.io/one:2"]),
    ],
)
@pytest.mark.parametrize("form", [docker_before_25, oci])
def test_only_these(
    wanted: list[str], loaded: list[str], form: Callable[..., Any], ferry: Ferry
) -> None:
    said = lines(ferry, *wanted, input=packed(form(ONE, TWO)))
    assert said == [f"Loaded image: {name}" for name in loaded]
    assert sorted(tags(ferry)) == sorted(loaded)


def test_by_what_the_archive_calls_it(ferry: Ferry) -> None:
    parts: dict[str, bytes] = {}
    targets = [
        {**put_image(parts, image), "annotations": {REF_NAME: label}}
        for image, label in ((ONE, "v1"), (TWO, "v2"))
    ]
    content = packed({**parts, "index.json": index(*targets)})
    assert lines(ferry, "v2", "-t", "two:2", input=content) == ["Loaded image: two:2"]
    assert tags(ferry) == {"two:2": TWO.id}


@pytest.mark.parametrize("name", ["three", "one:3", "quay.io/two", "0" * 12, "sha256:" + "0" * 64])
def test_what_is_not_in_it(name: str, ferry: Ferry, archive: Path) -> None:
    words = f"{archive}: no such image in the archive: {name}"
    assert refused(ferry, "-i", archive, name) == words
    assert refused(ferry, "-i", archive, "one:1", name) == words


# What is in it


@pytest.mark.parametrize("flag", ["--list", "--dry-run"])
def test_listed(flag: str, ferry: Ferry, archive: Path) -> None:
    ferry("load", input=packed(oci(ONE)))
    before = set(ferry.root.rglob("*"))
    machine = json.loads(ONE.config)["architecture"]
    said = lines(ferry, flag, "-i", archive)
    assert said == [
        f"one:1, quay.io/one:2\t{ONE.id}\tlinux/{machine}\t"
        "2 layers, 20.5kB; new here: 0 layers, 0B",
        f"two:1\t{TWO.id}\tlinux/{machine}\t2 layers, 20.5kB; new here: 1 layers, 10.2kB",
    ]
    assert lines(ferry, flag, input=archive.read_bytes()) == said
    assert lines(ferry, flag, "-i", archive, "two") == said[1:]
    assert set(ferry.root.rglob("*")) == before


def test_listed_with_what_is_missing(ferry: Ferry) -> None:
    parts = docker_before_25(NAMELESS)
    (name,) = [n for n, part in parts.items() if part == NAMELESS.layers[0]]
    del parts[name]
    (line,) = lines(ferry, "--list", input=packed(parts))
    assert line.startswith(f"<none>\t{NAMELESS.id}\t")
    assert line.endswith("new here: 2 layers, 10.2kB, 1 missing")


def test_listed_where_nothing_may_be_written(ferry: Ferry, archive: Path) -> None:
    ferry("images")
    for folder in ("tmp", "meta/leases"):
        (ferry.root / folder).rmdir()
    assert len(lines(ferry, "--list", "-i", archive)) == 2


# Platforms

PLATFORMS = {
    name: made(tar_of(member(name)), names=[f"{name}:1"], architecture=name)
    for name in ("amd64", "arm64", "riscv64")
}


def test_several_platforms(ferry: Ferry) -> None:
    content = packed(archives.platforms("many:1", *PLATFORMS.values()))
    assert lines(ferry, input=content) == ["Loaded image: many:1"]
    machine = json.loads(ONE.config)["architecture"]
    expected = PLATFORMS.get(machine, PLATFORMS["amd64"])
    assert inspected(ferry, "many:1")["Id"] == expected.id
    (line,) = lines(ferry, "--list", input=content)
    assert "\tlinux/amd64, linux/arm64, linux/riscv64\t" in line


@pytest.mark.parametrize("name", PLATFORMS)
def test_one_platform_of_several(name: str, ferry: Ferry) -> None:
    content = packed(archives.platforms("many:1", *PLATFORMS.values()))
    lines(ferry, "--platform", f"linux/{name}", input=content)
    assert tags(ferry) == {"many:1": PLATFORMS[name].id}
    layers = {diff_id for image in PLATFORMS.values() for diff_id in image.diff_ids}
    assert len(layers) == 3
    # Of the others nothing is here but what the index says of them.
    assert len(blobs(ferry)) == 2 + 3


def test_images_of_one_platform(ferry: Ferry) -> None:
    content = packed(docker_before_25(*PLATFORMS.values()))
    assert lines(ferry, "--platform", "linux/arm64", input=content) == ["Loaded image: arm64:1"]


def test_no_such_platform(ferry: Ferry, archive: Path) -> None:
    words = refused(ferry, "-i", archive, "--platform", "linux/s390x")
    assert words == f"{archive}: requested platform(s) ([linux/s390x]) not found"
    assert '"a/b/c/d" is an invalid platform' in refused(ferry, "--platform", "a/b/c/d")


# The terminal


def progress(seen: Made, text: str) -> list[str]:
    """Return the last state of the bar of each layer."""
    found = []
    for diff_id in seen.diff_ids:
        bars = re.findall(rf"^.*{diff_id[7:19]}: Loading layer.*$", text, re.MULTILINE)
        found.append(bars[-1].rstrip() if bars else "")
    return found


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_bar_for_each_layer(way: str, ferry: Ferry, archive: Path) -> None:
    if way == "file":
        shown = on_terminal(ferry.at(None), "load", "-i", archive)
    else:
        shown = on_terminal(ferry.at(None), "load", stdin=archive)
    assert shown.code == 0
    assert progress(ONE, shown.text.replace("\r", "\n")) == [
        f"{diff_id[7:19]}: Loading layer [{'=' * 50}>]  10.24kB/10.24kB" for diff_id in ONE.diff_ids
    ]
    assert shown.lines[-3:] == LOADED


def test_a_narrow_terminal_gets_the_numbers_alone(ferry: Ferry, archive: Path) -> None:
    shown = on_terminal(ferry.at(None), "load", "-i", archive, columns=80)
    assert progress(TWO, shown.text.replace("\r", "\n"))[1] == (
        f"{TWO.diff_ids[1][7:19]}: Loading layer  10.24kB/10.24kB"
    )


def test_a_bar_for_what_goes_by(ferry: Ferry, tmp_path: Path) -> None:
    path = written(packed(docker_before_25(ONE), "gzip"), tmp_path / "archive.tar.gz")
    shown = on_terminal(ferry.at(None), "load", "-i", path, columns=300)
    size = path.stat().st_size
    assert size < 1000
    assert f"{path}: Reading archive [{'=' * 50}>] {f'{size}B':>8}/{size}B" in shown.text


@pytest.mark.parametrize("quiet", ["-q", "--quiet"])
def test_quiet(quiet: str, ferry: Ferry, archive: Path) -> None:
    shown = on_terminal(ferry.at(None), "load", quiet, "-i", archive)
    assert shown.lines == LOADED


def test_no_bars_where_there_is_no_terminal(ferry: Ferry, archive: Path) -> None:
    done = ferry("load", "-i", archive)
    assert done.stdout.decode().splitlines() == LOADED
    assert done.stderr == b""


def test_a_terminal_is_no_archive(ferry: Ferry) -> None:
    shown = on_terminal(ferry.at(None), "load")
    assert shown.code == 1
    assert shown.lines == [
        "Error: requested load from stdin, but stdin is empty: use -i FILE, or a pipe"
    ]
    with open("/dev/null", "rb") as null:
        assert refused(ferry, stdin=null).startswith("requested load from stdin, but stdin is empt")


def test_closed_stdin(ferry: Ferry) -> None:
    command = " ".join([*ferry.at(None).argv, "load", "<&-"])
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.decode() == "Error: requested load from stdin, but stdin is closed\n"


# Ending early


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_interrupted_nothing_is_left(
    stop: signal.Signals, compression: str, ferry: Ferry, tmp_path: Path
) -> None:
    ferry("load", input=packed(oci(TWO)))
    before, had = tags(ferry), blobs(ferry)
    image = made(tar_of(member("large", os.urandom(1 << 20))), names=["one:1"])
    content = packed(docker_before_25(image), compression)
    process = ferry.popen("load", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(content[: len(content) // 2])
    process.stdin.flush()
    while not any((ferry.root / "tmp").glob("*/*")):
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(stop)
    said, errors = process.communicate(timeout=30)
    assert process.returncode == (130 if stop == signal.SIGINT else 143)
    assert (said, errors.strip()) == (b"", b"")
    assert (tags(ferry), blobs(ferry)) == (before, had)
    assert unfinished(ferry.root) == []


@pytest.mark.usefixtures("interruptible")
def test_interrupted_while_layers_are_read_from_a_file(ferry: Ferry, tmp_path: Path) -> None:
    layers = [tar_of(member(str(n), bytes([n]) * (60 << 20))) for n in range(4)]
    path = written(packed(docker_before_25(made(*layers))), tmp_path / "archive")
    process = ferry.popen("load", "-i", path)
    while not any((ferry.root / "tmp").glob("*/*")):
        time.sleep(0.001)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=30)
    assert (process.returncode, said, errors.strip()) == (130, b"", b"")
    assert blobs(ferry) == set()
    assert unfinished(ferry.root) == []


def test_nothing_is_staged(ferry: Ferry, tmp_path: Path) -> None:
    """The disk of the store takes the image once, and little beside."""
    layer = tar_of(member("large", os.urandom(6 << 20)))
    content = packed(docker_before_25(made(layer, names=["one:1"])))
    for compression in ("none", "gzip"):
        path = written(WHOLE[compression](content), tmp_path / "archive")
        for way in ("file", "stdin"):
            with small_disk(tmp_path / "disk", len(content) + (1 << 20)) as disk:
                here = Ferry(disk / "store")
                with path.open("rb") as stdin:
                    source = ("-i", path) if way == "file" else ()
                    assert lines(here, *source, stdin=stdin) == ["Loaded image: one:1"]


def test_a_pipe_by_its_name(ferry: Ferry, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    content = packed(oci(ONE))
    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=[content])
    writer.start()
    assert lines(ferry, "-i", tmp_path / "fifo") == LOADED[:2]
    writer.join()


def test_an_image_that_belongs_to_another(ferry: Ferry) -> None:
    """One with a name is an image of its own; one without goes where the other goes."""
    parts: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    first = put_image(parts, ONE)
    second = put_image(parts, TWO)
    content = json.loads(parts.pop(f"blobs/{second['digest'].replace(':', '/')}"))
    belonging = put(parts, json.dumps({**content, "subject": first}).encode(), second["mediaType"])
    parts["index.json"] = index(named(first, "one:1"), named(belonging, "two:1"))
    said = ferry("load", input=packed(parts)).stdout.decode().splitlines()
    assert said == ["Loaded image: one:1", "Loaded image: two:1"]
    ferry("rmi", "one:1", "two:1")
    parts["index.json"] = index(named(first, "one:1"), belonging)
    assert ferry("load", input=packed(parts)).stdout == b"Loaded image: one:1\n"
    assert len(ferry.text("images", "-aq").split()) == 1
    ferry("rmi", "one:1")
    assert not [path for path in (ferry.root / "image/blobs").rglob("*") if path.is_file()]
