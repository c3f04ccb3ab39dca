import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ferryman.image.digest import Digest
from ferryman.store.check import broken, check, repair
from ferryman.store.images import all_images, find
from ferryman.store.index import entries
from ferryman.store.layout import Store
from tests.ferry import Ferry
from tests.images import (
    Parts,
    docker_archive,
    index,
    layout,
    load_into,
    named,
    put,
    put_image,
    put_index,
    small,
)

GOOD, BAD = small("good", "good:1"), small("bad", "bad:1")
SHARED, OWN = BAD.diff_ids


@pytest.fixture
def full(here: Store) -> Store:
    """A store with two images that share a layer."""
    load_into(here, docker_archive(GOOD, BAD))
    return here


def remove(path: Path) -> None:
    path.unlink()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


class Harm(NamedTuple):
    to: str
    how: Callable[[Path], None]
    seen_at_once: bool = True
    """Whether it is seen without reading every byte."""


HARMS = [
    Harm(part, how, part != "layer" or how is not flip)
    for part in ("manifest", "config", "layer")
    for how in (remove, flip, shorten, lengthen)
]


def name_of(harm: Harm) -> str:
    return f"{harm.how.__name__} {harm.to}"


def blob_of(store: Store, part: str) -> Digest:
    image = find(store, "bad:1")
    return {"manifest": image.digest, "config": image.id, "layer": Digest(OWN)}[part]


def done(store: Store, harm: Harm) -> Digest:
    digest = blob_of(store, harm.to)
    harm.how(Path(store.blob(digest)))
    return digest


def tags(store: Store) -> list[str]:
    return [tag for image in all_images(store) for tag in image.repo_tags]


def test_a_whole_store_has_no_faults(full: Store, ferry: Ferry) -> None:
    report = check(full, verify=True)
    assert (report.faults, report.garbage, report.unfinished) == ((), {}, 0)
    assert report.verified == 7
    assert ferry.text("system", "check") == "The store is clean"
    assert ferry.text("system", "check", "--verify") == "Verified 7 blobs\nThe store is clean"


def test_verifying_reads_every_byte(full: Store) -> None:
    seen = 0

    def advance(n: int) -> None:
        nonlocal seen
        seen += n

    check(full, verify=True, advance=advance)
    blobs = Path(full.layout, "blobs/sha256")
    assert seen == sum(blob.stat().st_size for blob in blobs.iterdir())


@pytest.mark.parametrize("harm", HARMS, ids=name_of)
def test_a_fault_names_the_image_and_the_blob(full: Store, harm: Harm) -> None:
    digest = done(full, harm)
    quick = check(full)
    assert bool(quick.faults) == harm.seen_at_once
    for report in (quick, check(full, verify=True)) if harm.seen_at_once else ():
        said = [fault.what for fault in report.faults if fault.entry]
        assert len(said) == 1
        assert said[0].startswith("bad:1: ")
        assert digest in said[0]


@pytest.mark.parametrize("harm", HARMS, ids=name_of)
def test_repair_leaves_what_is_whole(full: Store, harm: Harm, ferry: Ferry) -> None:
    done(full, harm)
    told = ferry("system", "check", "--repair", check=False, stdin=None, input=b"n\n")
    assert told.returncode == 1
    assert "Would remove image bad:1\n" in told.stdout.decode()
    assert "good" not in told.stdout.decode()
    assert [e.name and e.name.familiar for e in entries(full)] == ["good:1", "bad:1"]

    said = ferry.text("system", "check", "--repair", "--force")
    assert said.endswith("Removed: what is left is whole")
    assert tags(full) == ["good:1"]
    report = check(full, verify=True)
    assert (report.faults, report.garbage, report.verified) == ((), {}, 4)
    load_into(full, docker_archive(BAD))
    assert tags(full) == ["good:1", "bad:1"]
    assert check(full, verify=True).faults == ()


def test_repair_of_a_shared_layer_takes_all_that_need_it(full: Store) -> None:
    flip(Path(full.blob(Digest(SHARED))))
    report = check(full, verify=True)
    assert [fault.blob for fault in report.faults] == [SHARED]
    assert [e.name and e.name.familiar for e in broken(full, report)] == ["good:1", "bad:1"]
    repair(full, report)
    assert (entries(full), check(full, verify=True).verified) == ([], 0)


def test_a_blob_that_is_a_folder(full: Store) -> None:
    replace_by_folder(Path(full.blob(Digest(OWN))))
    report = check(full, verify=True)
    assert any("unreadable" in fault.what for fault in report.faults)
    repair(full, report)
    assert tags(full) == ["good:1"]


def test_damaged_garbage_is_found_and_removed(full: Store) -> None:
    stray = Path(full.layout, "blobs/sha256", "0" * 64)
    stray.write_bytes(b"whatever this is, it has not that digest")
    assert check(full).faults == ()
    report = check(full, verify=True)
    assert [fault.blob for fault in report.faults] == [f"sha256:{'0' * 64}"]
    assert broken(full, report) == []
    repair(full, report)
    assert not stray.exists()
    assert tags(full) == ["good:1", "bad:1"]


def test_garbage_and_what_is_unfinished_are_no_fault(full: Store, ferry: Ferry) -> None:
    with open(full.index_file, "wb") as f:
        f.write(b'{"schemaVersion":2,"manifests":[]}')
    Path(full.tmp, "left").touch()
    report = check(full)
    assert (report.faults, len(report.garbage), report.unfinished) == ((), 7, 1)
    said = ferry.text("system", "check").splitlines()
    assert said[0].startswith("7 blobs (")
    assert said[0].endswith("belong to no image: see system prune")
    assert said[1] == "The store is clean"


def test_an_index_all_of_whose_images_are_gone(here: Store) -> None:
    parts: Parts = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    manifest = put_image(parts, BAD)
    target = put_index(parts, manifest)
    load_into(here, parts | {"index.json": index(named(target, "bad:1"))})
    flip(Path(here.blob(Digest(manifest["digest"]))))
    report = check(here, verify=True)
    assert [e.name and e.name.familiar for e in broken(here, report)] == ["bad:1"]
    repair(here, report)
    assert entries(here) == []
    assert check(here, verify=True).verified == 0


def test_a_config_for_another_number_of_layers(full: Store) -> None:
    image = find(full, "bad:1")
    manifest = json.loads(Path(full.blob(image.digest)).read_bytes())
    manifest["layers"].pop()
    parts: Parts = layout(BAD)
    descriptor = put(parts, json.dumps(manifest).encode(), manifest["mediaType"])
    for name, content in parts.items():
        Path(full.layout, name).write_bytes(content)
    Path(full.index_file).write_bytes(index(named(descriptor, "bad:1")))
    (fault,) = check(full).faults
    assert fault.what == f"bad:1: config {BAD.id} is for 2 layers"


def test_a_damaged_index_is_one_line(full: Store, ferry: Ferry) -> None:
    Path(full.index_file).write_bytes(b"{")
    for command in (["system", "check", "--repair", "-f"], ["images"], ["system", "prune", "-f"]):
        failed = ferry(*command, check=False)
        assert failed.returncode == 1
        (line,) = failed.stderr.decode().splitlines()
        assert line.startswith("Error: the store's index is damaged")
    assert len(list(Path(full.layout, "blobs/sha256").iterdir())) == 7


def test_prune(full: Store, ferry: Ferry) -> None:
    load_into(full, docker_archive(small("new", "good:1")))
    Path(full.tmp, "left").touch()
    refused = ferry("system", "prune", input=b"n\n", check=False)
    assert (refused.returncode, refused.stdout.decode()[:8]) == (0, "WARNING!")
    said = ferry.text("system", "prune", "-f").splitlines()
    assert said[:2] == ["Deleted Images:", f"deleted: {GOOD.id}"]
    assert said[-1].startswith("Total reclaimed space: ")
    assert os.listdir(full.tmp) == []
    assert sorted(tags(full)) == ["bad:1", "good:1"]
    assert ferry.text("system", "prune", "-f") == "Total reclaimed space: 0B"


def test_prune_all(full: Store, ferry: Ferry) -> None:
    said = ferry.text("system", "prune", "--all", "--force").splitlines()
    assert {"untagged: good:1", "untagged: bad:1", f"deleted: {GOOD.id}"} <= set(said)
    assert os.listdir(Path(full.layout, "blobs/sha256")) == []


def test_df(full: Store, ferry: Ferry) -> None:
    images, *_, rest = ferry.text("system", "df", "--format", "json").splitlines()
    sizes = sum(p.stat().st_size for p in Path(full.layout, "blobs/sha256").iterdir())
    assert json.loads(images)["TotalCount"] == "2"
    assert json.loads(images)["Size"] == f"{sizes / 1000:.4g}kB"
    # As in docker: what no container stands on could go.
    assert json.loads(images)["Reclaimable"] == f"{sizes / 1000:.4g}kB (100%)"
    assert json.loads(rest)["Size"] == "0B"

    load_into(full, docker_archive(small("new", "good:1")))
    rows = json.loads(ferry.text("system", "df", "-v", "--format", "{{json .Images}}"))
    assert {(row["Repository"], row["Tag"]) for row in rows} == {
        ("good", "1"),
        ("bad", "1"),
        ("<none>", "<none>"),
    }


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_a_store_that_cannot_be_written_can_be_read(full: Store, tmp_path: Path) -> None:
    """With what a killed operation left in it, which nobody can clear away."""
    Path(full.leases, "0123456789abcdef").write_text(f"{OWN}\n")
    Path(full.tmp, "0123456789abcdef").mkdir()
    script = """
        mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77
        ferry() { "$2" -m ferryman --root "$1" "${@:3}" || exit; }
        for command in "images" "system df" "system check --verify" "image tree" "history bad:1"
        do ferry "$1" "$2" $command; done
        ferry "$1" "$2" save -o "$3/saved.tar" bad:1
        ferry "$1" "$2" image export -o "$3/files.tar" bad:1
        "$2" -m ferryman --root "$1" rmi bad:1; echo "exit $?"
        "$2" -m ferryman --root "$1" load -i "$3/saved.tar"; echo "exit $?"
    """
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    arguments = [full.root, sys.executable, str(tmp_path)]
    ran = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script, "-", *arguments],
        capture_output=True,
        check=False,
    )
    if ran.returncode == 77:
        pytest.skip("cannot mount here")
    said, errors = ran.stdout.decode(), ran.stderr.decode()
    assert "The store is clean" in said
    assert [line for line in said.splitlines() if line.startswith("exit")] == ["exit 1"] * 2, errors
    assert len(errors.splitlines()) == 2
    assert all(line.startswith("Error: cannot ") for line in errors.splitlines())
    assert (tmp_path / "saved.tar").exists()
    assert (tmp_path / "files.tar").exists()
