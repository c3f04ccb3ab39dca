"""What is wrong with an archive is told in one line, and the store stays what it was."""

import hashlib
import json
import os
import random
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.archives import Link, Members, docker_25, docker_before_25, hex_of, oci, packed
from tests.command import Command
from tests.disks import fill, read_only, small_disk
from tests.ferry import Ferry
from tests.images import Made, index, layout, made, member, put, small, tar_of
from tests.workers import Worker, workers

KEPT = small("kept", "kept:1")
NEW = small("new", "new:1")
DEEP = b"[" * 200_000 + b"]" * 200_000
HUGE = 2**62
PREFIX = "blobs/sha256/"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with workers(1) as found:
        yield found[0]


@pytest.fixture
def kept(ferry: Ferry, tmp_path: Path) -> Ferry:
    """A store that holds one image."""
    archive = tmp_path / "kept.tar"
    archive.write_bytes(packed(docker_25(KEPT)))
    ferry("load", "-i", archive)
    return ferry


def everything(root: Path) -> dict[str, str]:
    """Return all files of a store that are not locks, with the digests of what is in them."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def check_refused(worker: Worker, store: Path, archive: Path, *words: str) -> None:
    before = everything(store)
    worker.begin("--root", store, "load", "-i", archive)
    ran = worker.end()
    assert (ran.code, ran.stdout) == (1, ""), (ran.code, ran.stdout, ran.stderr)
    (line,) = ran.stderr.splitlines()
    assert line.startswith("Error: ")
    assert archive.name in line
    assert line.isprintable()
    for word in words:
        assert word in line
    assert everything(store) == before


# Documents, and the fields in them.


def of_manifest_json(change: Callable[[dict[str, Any]], object]) -> Members:
    parts = docker_before_25(NEW)
    content = parts["manifest.json"]
    assert isinstance(content, bytes)
    entries = json.loads(content)
    change(entries[0])
    return parts | {"manifest.json": json.dumps(entries).encode()}


def put_key(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda entry: entry.__setitem__(key, value)


def of_config(**fields: object) -> Members:
    """Return an archive whose config has other fields, and goes by its new digest."""
    parts = docker_before_25(NEW)
    config = json.dumps(json.loads(NEW.config) | fields).encode()
    del parts[f"{NEW.id[7:]}.json"]
    name = f"{hex_of(config)}.json"
    changed = of_manifest_json(put_key("Config", name))
    return parts | {name: config, "manifest.json": changed["manifest.json"]}


def of_layout(change: Callable[[dict[str, Any]], object]) -> Members:
    """Return a layout whose manifest is another, and goes by its new digest."""
    parts = layout(NEW)
    target = json.loads(parts["index.json"])["manifests"][0]
    manifest = json.loads(parts.pop(f"blobs/{target['digest'].replace(':', '/')}"))
    change(manifest)
    new = put(parts, json.dumps(manifest).encode(), manifest.get("mediaType") or "x")
    return {**parts, "index.json": index(new)}


def of_index(change: Callable[[dict[str, Any]], object]) -> Members:
    parts = layout(NEW)
    document = json.loads(parts["index.json"])
    change(document)
    return {**parts, "index.json": json.dumps(document).encode()}


def of_descriptor(**fields: object) -> Members:
    return of_index(lambda document: document["manifests"][0].update(fields))


def without(parts: Members, name: str) -> Members:
    return {key: part for key, part in parts.items() if key != name}


def layer_name(parts: Members) -> str:
    """Return where the layer is that no other image has."""
    return next(name for name, part in parts.items() if part == NEW.layers[1])


def with_part(parts: Members, name: str, part: bytes | Link) -> Members:
    return {**parts, name: part}


def raw(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)


def header(
    name: str, size: int = 0, kind: bytes = b"0", link: str = "", raw_size: bytes = b""
) -> bytes:
    """Return a tar header as nobody would write it."""
    field = raw_size or b"%011o\0" % size
    block = bytearray(
        struct.pack(
            "100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x",
            *(name.encode(), b"0000644\0", b"0000000\0", b"0000000\0", field, b"0" * 11),
            *(b" " * 8, kind, link.encode(), b"ustar\0", b"00", b"", b"", b"", b"", b""),
        )
    )
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def base256(size: int) -> bytes:
    return (size | 1 << 95).to_bytes(12, "big")


DEEP_LIST = b'[{"Config":"c","x":%b}]' % DEEP
DEEP_INDEX = b'{"schemaVersion":2,"x":%b}' % DEEP
GOOD = docker_before_25(NEW)
LAYER = layer_name(GOOD)
TREE: dict[str, tuple[Members, str]] = {
    "config is missing": (without(GOOD, f"{NEW.id[7:]}.json"), "is not in the archive"),
    "layer is missing": (without(GOOD, LAYER), "is missing"),
    "no documents": (without(GOOD, "manifest.json"), "does not contain a manifest.json"),
    "config is another": (with_part(GOOD, f"{NEW.id[7:]}.json", b"{}"), "damaged"),
    "layer is another": (with_part(GOOD, LAYER, tar_of(member("x"))), "invalid diffID for layer"),
    "layer is empty": (with_part(GOOD, LAYER, b""), "invalid diffID for layer"),
    "one layer too few": (
        of_manifest_json(put_key("Layers", [LAYER])),
        "layers length mismatch: expected 2, got 1",
    ),
    "layers are null": (of_manifest_json(put_key("Layers", None)), "length mismatch"),
    "layers are numbers": (of_manifest_json(put_key("Layers", [1, 2])), "manifest.json is invalid"),
    "config is null": (of_manifest_json(put_key("Config", None)), "manifest.json is invalid"),
    "config is a folder": (of_manifest_json(put_key("Config", "..")), "outside"),
    "config is absolute": (of_manifest_json(put_key("Config", "/etc/passwd")), "absolute name"),
    "config escapes": (of_manifest_json(put_key("Config", "a/../../etc/x")), "outside"),
    "layer escapes": (of_manifest_json(put_key("Layers", [LAYER, "../../x"])), "outside"),
    "layer is absolute": (of_manifest_json(put_key("Layers", ["/x", LAYER])), "absolute name"),
    "control characters": (of_manifest_json(put_key("Config", "a\x1b[2Jb")), "control characters"),
    "tag is no tag": (of_manifest_json(put_key("RepoTags", ["no-tag"])), "invalid tag"),
    "tag is no name": (of_manifest_json(put_key("RepoTags", ["A B"])), "A B"),
    "tags are a word": (of_manifest_json(put_key("RepoTags", "new:1")), "manifest.json is invalid"),
    "manifest.json is empty": (with_part(GOOD, "manifest.json", b""), "not valid JSON"),
    "manifest.json is garbage": (with_part(GOOD, "manifest.json", b"\x00\xff{"), "not valid JSON"),
    "manifest.json is null": (with_part(GOOD, "manifest.json", b"null"), "names no image"),
    "manifest.json is []": (with_part(GOOD, "manifest.json", b"[]"), "names no image"),
    "manifest.json is [null]": (with_part(GOOD, "manifest.json", b"[null]"), "is invalid"),
    "manifest.json is deep": (with_part(GOOD, "manifest.json", DEEP_LIST), "nested too deeply"),
    "manifest.json is a number": (with_part(GOOD, "manifest.json", b"1"), "is invalid"),
    "config is deep": (
        with_part(of_manifest_json(put_key("Config", "c")), "c", DEEP_INDEX), "nested too deeply",
    ),
    "diff IDs are null": (of_config(rootfs={"type": "layers", "diff_ids": None}), "mismatch"),
    "diff ID of another kind": (
        of_config(rootfs={"type": "layers", "diff_ids": ["md5:" + "0" * 32, "sha256:" + "0" * 64]}),
        "unknown digest algorithm 'md5'",
    ),
    "diff ID is a path": (
        of_config(rootfs={"type": "layers", "diff_ids": ["sha256:../../x", "sha256:x"]}),
        "invalid digest",
    ),
    "diff ID is not the layer's": (
        of_config(rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64, NEW.diff_ids[1]]}),
        "invalid diffID for layer",
    ),
    "config has wrong types": (of_config(history={"a": 1}), "is invalid"),
    "unknown rootfs": (of_config(rootfs={"type": "zfs", "diff_ids": []}), "unknown rootfs type"),
    "unknown layout version": (
        with_part(oci(NEW), "oci-layout", b'{"imageLayoutVersion":"9.0.0"}'),
        "unknown layout version '9.0.0'",
    ),
    "layout version is a number": (
        with_part(oci(NEW), "oci-layout", b'{"imageLayoutVersion":1}'), "is invalid",
    ),
    "index is null": (with_part(oci(NEW), "index.json", b"null"), "is invalid"),
    "index names nothing": (of_index(put_key("manifests", [])), "names no image"),
    "index has nulls": (of_index(put_key("manifests", [None])), "is invalid"),
    "index is deep": (with_part(oci(NEW), "index.json", DEEP_INDEX), "nested too deeply"),
    "index of version 1": (of_index(put_key("schemaVersion", 1)), "schema version 1"),
    "manifest is missing": (of_descriptor(digest="sha256:" + "0" * 64), "is missing"),
    "digest of another kind": (of_descriptor(digest="sha3:" + "0" * 64), "unknown digest"),
    "digest is a path": (of_descriptor(digest="sha256:../../../etc/passwd"), "invalid digest"),
    "digest is null": (of_descriptor(digest=None), "is invalid"),
    "size is wrong": (of_descriptor(size=3), "damaged"),
    "size is huge": (of_descriptor(size=HUGE), "impossible size"),
    "size is negative": (of_descriptor(size=-1), "impossible size"),
    "size is no number": (of_descriptor(size="3"), "is invalid"),
    "name is no name": (of_descriptor(annotations={"io.containerd.image.name": "A B"}), "A B"),
    "manifest without config": (of_layout(lambda m: m.pop("config")), "neither a manifest nor"),
    "manifest is two things": (of_layout(put_key("manifests", [])), "ambiguous"),
    "manifest of version 1": (of_layout(put_key("schemaVersion", 1)), "schema version 1"),
    "manifest with null layers": (of_layout(put_key("layers", None)), "length mismatch"),
    "layer's size is wrong": (
        of_layout(lambda m: m["layers"][0].update(size=1)), "its descriptor says 1",
    ),
    "layer's size is huge": (
        of_layout(lambda m: m["layers"][0].update(size=HUGE)), "impossible size",
    ),
    "layer is not there": (
        of_layout(lambda m: m["layers"][0].update(digest="sha256:" + "1" * 64)), "is missing",
    ),
    "config is not there": (
        of_layout(lambda m: m["config"].update(digest="sha256:" + "1" * 64)), "is missing",
    ),
    "blob is damaged": (
        with_part(oci(NEW), PREFIX + NEW.diff_ids[1][7:], NEW.layers[1][:-1] + b"\1"), "damaged",
    ),
    "link outside": (with_part(GOOD, "x", Link("../../etc/passwd")), "points outside"),
    "absolute link": (with_part(GOOD, "x", Link("/etc/passwd")), "points outside"),
    "layer is a link outside": (with_part(GOOD, LAYER, Link("../../../etc/passwd")), "outside"),
    "hard link outside": (with_part(GOOD, "x", Link("../x", hard=True)), "outside"),
    "links in a circle": (
        {**GOOD, "a": Link("b"), "b": Link("a")}, "round in a circle",
    ),
    "manifest.json is a circle": (
        {**GOOD, "manifest.json": Link("manifest.json")}, "round in a circle",
    ),
}  # fmt: skip


@pytest.mark.parametrize("by_pipe", [False, True], ids=["file", "stdin"])
@pytest.mark.parametrize("name", TREE)
def test_parts(worker: Worker, kept: Ferry, tmp_path: Path, name: str, by_pipe: bool) -> None:
    parts, words = TREE[name]
    archive = tmp_path / "bad.tar"
    # Compressed, it goes by once, as from a pipe.
    archive.write_bytes(packed(parts, "zstd" if by_pipe else "none"))
    check_refused(worker, kept.root, archive, words)


WHOLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "text": (b"this is no archive\n" * 100, "is not a tar archive"),
    "short text": (b"hello", "bad.tar"),
    "zeros": (bytes(1 << 20), "manifest.json"),
    "noise": (random.Random(1).randbytes(10_000), "bad.tar"),
    "gzip of noise": (
        zlib.compress(random.Random(2).randbytes(9000), wbits=31),
        "is not a tar archive",
    ),
    "gzip header alone": (b"\x1f\x8b\x08\0\0\0\0\0\0\3", "bad.tar"),
    "zstd cut off": (packed(GOOD, "zstd")[:-9], "damaged or truncated"),
    "gzip cut off": (packed(GOOD, "gzip")[:-9], "damaged or truncated"),
    "bzip2 cut off": (packed(GOOD, "bzip2")[:-9], "damaged or truncated"),
    "xz cut off": (packed(GOOD, "xz")[:-9], "damaged or truncated"),
    "size of 2^62": (raw(header("a", raw_size=base256(HUGE))), "impossible size"),
    "size of 2^61": (raw(header("a", raw_size=base256(HUGE // 2))), "bad.tar"),
    "negative size": (raw(header("a", raw_size=b"\xff" * 12)), "impossible size"),
    "size is no number": (raw(header("a", raw_size=b"abcdefghijk\0")), "not a number"),
    "fifo": (raw(header("a", kind=b"6")), "neither a file, a folder nor a link"),
    "character device": (raw(header("a", kind=b"3")), "neither a file, a folder nor a link"),
    "block device": (raw(header("a", kind=b"4")), "neither a file, a folder nor a link"),
    "unknown kind": (raw(header("a", kind=b"Z")), "unknown member type"),
    "absolute name": (raw(header("/a")), "absolute name"),
    "name with ..": (raw(header("a/../../b")), "outside"),
    "name with escapes": (raw(header("a\x1b[31mb")), "control characters"),
    "name with a newline": (raw(header("a\nb")), "control characters"),
    "no name": (raw(header("")), "without a name"),
    "doubled and different": (
        raw(header("a", 1), b"1".ljust(512, b"\0"), header("a", 1), b"2".ljust(512, b"\0")),
        "twice, with different content",
    ),
    "endless long name": (raw(header("a", 1 << 30, kind=b"L")), "too large"),
    "no end marker": (header("a"), "truncated"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files(worker: Worker, kept: Ferry, tmp_path: Path, name: str) -> None:
    content, words = WHOLE[name]
    archive = tmp_path / "bad.tar"
    archive.write_bytes(content)
    check_refused(worker, kept.root, archive, words)


def test_the_same_part_twice_is_no_fault(kept: Ferry, tmp_path: Path) -> None:
    archive = tmp_path / "twice.tar"
    whole = packed(GOOD)
    archive.write_bytes(whole[: -len(whole) % 512 - 1024 or None][:-9216] + whole)
    content = b"".join((header("a", 1), b"1".ljust(512, b"\0"))) * 2
    archive.write_bytes(content + whole)
    assert b"Loaded image: new:1" in kept("load", "-i", archive).stdout


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_cut_off_anywhere(worker: Worker, kept: Ferry, tmp_path: Path, compression: str) -> None:
    whole = packed(GOOD, compression)
    # The two blocks of the end marker are needed; what tar pads the file with behind them is not.
    needed = len(whole) if compression != "none" else len(whole.rstrip(b"\0")) // 512 * 512 + 1536
    chance = random.Random(7)
    places = {chance.randrange(needed) for _ in range(40)} | {*range(0, needed, 512)}
    places |= {1, 511, 513, *range(needed - 10, needed)}
    archive = tmp_path / "cut.tar"
    for place in sorted(place for place in places if place < needed):
        archive.write_bytes(whole[:place])
        check_refused(worker, kept.root, archive)


def test_import_of_bad_tars(worker: Worker, kept: Ferry, tmp_path: Path) -> None:
    tar = tar_of(member("etc/a", b"x" * 3000), member("b"))
    bad = {
        "empty": b"",
        "text": b"no tar at all" * 1000,
        "cut": tar[:2000],
        "no end": tar[: len(tar.rstrip(b"\0")) // 512 * 512],
        "gzip cut": zlib.compress(tar, wbits=31)[:-20],
        "size": raw(header("a", raw_size=base256(HUGE))),
    }
    for name, content in bad.items():
        archive = tmp_path / f"{name}.tar"
        archive.write_bytes(content)
        before = everything(kept.root)
        worker.begin("--root", kept.root, "import", archive, "bad:1")
        ran = worker.end()
        assert (ran.code, ran.stdout) == (1, ""), name
        (line,) = ran.stderr.splitlines()
        assert archive.name in line, name
        assert everything(kept.root) == before, name


def bomb(size: int) -> bytes:
    """Return a compressed layer that unpacks to so many zeros."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj(size=size)
    piece = bytes(1 << 20)
    content = b"".join(compressor.compress(piece) for _ in range(size >> 20))
    return content + compressor.flush()


def test_bombs(kept: Ferry, tmp_path: Path) -> None:
    """What unpacks to more than the disk holds is stopped, as a whole archive and as a layer."""
    layer = bomb(64 << 20)
    parts = {**GOOD, LAYER: layer}
    with small_disk(tmp_path / "disk", 16 << 20) as disk:
        for number, content in enumerate((bomb(64 << 20), packed(parts))):
            archive = tmp_path / f"bomb{number}.tar"
            archive.write_bytes(content)
            done = kept("load", "-i", archive, root=disk / "store", check=False)
            assert done.returncode == 1
            (line,) = done.stderr.decode().splitlines()
            assert archive.name in line
            check_clean(kept, disk / "store")
            assert sum(path.stat().st_size for path in disk.rglob("*") if path.is_file()) < 1 << 16


def check_clean(ferry: Ferry, store: Path) -> None:
    report = ferry("system", "check", "--verify", root=store).stdout
    assert b"The store is clean" in report
    assert b"belong to no image" not in report
    assert not os.listdir(store / "tmp")


@pytest.mark.parametrize("command", ["load", "stdin", "import"])
def test_full_disk(ferry: Ferry, tmp_path: Path, command: str) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        store = disk / "store"
        little = tmp_path / "little.tar"
        little.write_bytes(packed(docker_25(KEPT)))
        ferry("load", "-i", little, root=store)
        big = tar_of(member("big", random.Random(3).randbytes(6 << 20)))
        archive = tmp_path / "big.tar"
        archive.write_bytes(big if command == "import" else packed(docker_25(made(big))))
        if command == "load":
            done = ferry("load", "-i", archive, root=store, check=False)
        elif command == "stdin":
            done = ferry("load", input=archive.read_bytes(), root=store, check=False)
        else:
            done = ferry("import", "-", input=big, root=store, check=False)
        assert done.returncode == 1
        (line,) = done.stderr.decode().splitlines()
        assert str(store) in line
        assert "Traceback" not in line
        check_clean(ferry, store)
        assert ferry.text("images", "--format", "{{.Repository}}", root=store) == "kept"


@pytest.mark.parametrize("form", [docker_before_25, lambda image: oci(image, compression="gzip")])
def test_a_disk_that_is_full_at_any_moment(
    worker: Worker, tmp_path: Path, form: Callable[[Made], Members]
) -> None:
    """Whatever it is that finds no room any more: a layer, a lease, a name, the index."""
    archives = {image.names[0]: tmp_path / f"{image.names[0]}.tar" for image in (KEPT, NEW)}
    for image in (KEPT, NEW):
        archives[image.names[0]].write_bytes(packed(form(image)))
    loaded = refused = 0
    for pages in range(12):
        with small_disk(tmp_path / "disk", 4 << 20) as disk:
            store = disk / "store"
            worker.begin("--root", store, "load", "-i", archives["kept:1"])
            assert worker.end().code == 0
            before = everything(store)
            fill(disk, pages * 4096)
            worker.begin("--root", store, "load", "-i", archives["new:1"])
            ran = worker.end()
            if ran.code == 0:
                loaded += 1
                continue
            refused += 1
            assert (ran.code, ran.stdout) == (1, "")
            (line,) = ran.stderr.splitlines()
            assert str(store) in line or "new:1.tar" in line
            assert everything(store) == before
            # With room again, all is as if nothing had been.
            (disk / "filler").unlink()
            worker.begin("--root", store, "load", "-i", archives["new:1"])
            assert worker.end().code == 0
            worker.begin("--root", store, "system", "check", "--verify")
            assert "The store is clean" in worker.end().stdout
    assert loaded
    assert refused


def test_a_store_whose_modes_forbid_it(kept: Ferry, tmp_path: Path) -> None:
    archive = tmp_path / "new.tar"
    archive.write_bytes(packed(GOOD))
    before = everything(kept.root)
    folders = [kept.root, *(path for path in kept.root.rglob("*") if path.is_dir())]
    # Modes hold nobody back who is root, unless this capability is gone.
    bound = () if os.getuid() else ("setpriv", "--bounding-set=-dac_override")
    held_back = Command((*bound, *kept.at(None).argv))
    for folder in folders:
        folder.chmod(0o555)
    for args in (
        ("load", "-i", archive),
        ("import", archive, "x:1"),
        ("tag", "kept:1", "kept:2"),
        ("rmi", "kept:1"),
    ):
        done = held_back.run(*args, check=False)
        assert (done.returncode, done.stdout) == (1, b"")
        (line,) = done.stderr.decode().splitlines()
        assert str(kept.root) in line
        assert "Permission denied" in line
    assert held_back.text("images", "--format", "{{.Repository}}") == "kept"
    assert held_back.run("save", "kept:1").stdout
    assert b"new here: 1 layers" in held_back.run("load", "--list", "-i", archive).stdout
    for folder in folders:
        folder.chmod(0o755)
    assert everything(kept.root) == before


def test_read_only_store(kept: Ferry, tmp_path: Path) -> None:
    archive = tmp_path / "new.tar"
    archive.write_bytes(packed(GOOD))
    with read_only(kept.root):
        for args in (
            ("load", "-i", archive),
            ("import", archive, "x:1"),
            ("tag", "kept:1", "kept:2"),
            ("rmi", "kept:1"),
        ):
            done = kept(*args, check=False)
            assert (done.returncode, done.stdout) == (1, b""), args
            (line,) = done.stderr.decode().splitlines()
            assert "Read-only file system" in line or "read-only" in line.lower()
        # Whatever only reads goes on working.
        assert kept.text("images", "--format", "{{.Repository}}") == "kept"
        assert kept("save", "kept:1").stdout
        assert kept("system", "check", "--verify").returncode == 0


def test_a_store_of_a_newer_version(kept: Ferry, tmp_path: Path) -> None:
    archive = tmp_path / "new.tar"
    archive.write_bytes(packed(GOOD))
    (kept.root / "meta/version").write_text("99\n")
    before = everything(kept.root)
    for args in (("load", "-i", archive), ("images",), ("save", "kept:1"), ("rmi", "kept:1")):
        done = kept(*args, check=False)
        assert (done.returncode, done.stdout) == (1, b"")
        (line,) = done.stderr.decode().splitlines()
        assert str(kept.root) in line
        assert "made by a newer version of ferry" in line
    assert everything(kept.root) == before


def test_no_such_file(kept: Ferry, tmp_path: Path) -> None:
    done = kept("load", "-i", tmp_path / "nowhere.tar", check=False)
    assert done.returncode == 1
    assert (
        done.stderr.decode() == f"Error: open {tmp_path}/nowhere.tar: no such file or directory\n"
    )


def test_a_fifo_member_of_a_folder(kept: Ferry, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "index.json")
    done = kept("load", "-i", folder, check=False, timeout=20)
    assert done.returncode == 1
    assert b"is not a file" in done.stderr


def test_a_link_out_of_a_folder(kept: Ferry, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("[]")
    (folder / "index.json").symlink_to("../secret")
    done = kept("load", "-i", folder, check=False)
    assert done.returncode == 1
    assert b"points outside the folder" in done.stderr


def test_everything_by_a_real_pipe(kept: Ferry, tmp_path: Path) -> None:
    """Some of the above as they come from another program."""
    before = everything(kept.root)
    for content in (
        b"",
        packed(GOOD)[:3000],
        WHOLE["fifo"][0],
        packed(TREE["layer is another"][0]),
    ):
        archive = tmp_path / "piped.tar"
        archive.write_bytes(content)
        with subprocess.Popen(["cat", archive], stdout=subprocess.PIPE) as cat:
            done = kept("load", stdin=cat.stdout, check=False)
        assert (done.returncode, done.stdout) == (1, b"")
        (line,) = done.stderr.decode().splitlines()
        assert "stdin" in line
    assert everything(kept.root) == before
