"""One suite for all ends that are files: what one writes, each reads, and nothing false."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferryman.errors import FerryError, ImageNotFound, UsageError
from ferryman.operations import copy as copies
from ferryman.operations.copy import End, Options
from ferryman.store.images import find
from ferryman.store.layout import open_store
from ferryman.transfer.ends import host
from tests.ferry import Ferry
from tests.images import (
    Made,
    Parts,
    docker_archive,
    index,
    layout,
    load_into,
    made,
    member,
    packed,
    put,
    put_image,
    put_index,
    sha256,
    small,
    tar_of,
    unpacked,
)
from tests.test_memory import begun, check_peak

FORMS = ("docker-archive", "oci-archive", "oci", "dir", "ferry")


def end(form: str, folder: Path) -> str:
    return {
        "docker-archive": f"docker-archive:{folder}/docker.tar:app:1",
        "oci-archive": f"oci-archive:{folder}/oci.tar:app:1",
        "oci": f"oci:{folder}/oci:app:1",
        "dir": f"dir:{folder}/dir",
        "ferry": "ferry:app:1",
    }[form]


def copied(root: Path, source: str, destination: str, options: Options | None = None) -> str:
    how = copies.means(lambda: open_store(str(root)))
    done = copies.copy(how, copies.parse(source), copies.parse(destination), options)
    return done.target.digest


def source_of(parts: Parts, folder: Path) -> str:
    """Return the only image of a layout, as it lies in a folder."""
    return f"oci:{unpacked(parts, folder)}"


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("form", FORMS)
def test_bytes_stay_as_they_are(tmp_path: Path, form: str, compression: str) -> None:
    image = small("text", "app:1")
    parts = layout(image, compression=compression)
    wanted = json.loads(parts["index.json"])["manifests"][0]["digest"]
    first = source_of(parts, tmp_path / "first")
    there = end(form, tmp_path)
    keep = Options(preserve_digests=True)
    assert copied(tmp_path / "store", first, there, keep) == wanted
    for other in FORMS:
        again = end(other, tmp_path / f"again-{other}")
        (tmp_path / f"again-{other}").mkdir()
        assert copied(tmp_path / f"again-{other}/store", first, again, keep) == wanted
        if "ferry" not in (form, other):
            shutil.rmtree(tmp_path / f"again-{other}")
            (tmp_path / f"again-{other}").mkdir()
            assert copied(tmp_path / "store", there, again, keep) == wanted


def test_a_docker_archive_is_what_load_makes_of_it(tmp_path: Path) -> None:
    image = small("text", "app:1")
    (tmp_path / "a.tar").write_bytes(packed(docker_archive(image)))
    store = open_store(str(tmp_path / "store"))
    load_into(store, docker_archive(image))
    digest = copied(tmp_path / "store", f"docker-archive:{tmp_path}/a.tar", f"dir:{tmp_path}/d")
    assert digest == find(store, "app:1").digest


def test_an_archive_of_compressed_layers(tmp_path: Path) -> None:
    import gzip

    image = small("text", "app:1")
    parts = docker_archive(image)
    for name in [name for name in parts if name.endswith("layer.tar")]:
        parts[name] = gzip.compress(parts[name])
    (tmp_path / "a.tar").write_bytes(packed(parts))
    copied(tmp_path / "store", f"docker-archive:{tmp_path}/a.tar:app:1", "ferry:app:2")
    assert find(open_store(str(tmp_path / "store")), "app:2").id == image.id
    wrong = small("other", "app:1")
    parts = docker_archive(wrong)
    parts[f"{wrong.diff_ids[1][7:]}/layer.tar"] = gzip.compress(image.layers[1])
    (tmp_path / "b.tar").write_bytes(packed(parts))
    with pytest.raises(FerryError, match="diffID"):
        copied(tmp_path / "store", f"docker-archive:{tmp_path}/b.tar", f"dir:{tmp_path}/d")


@pytest.mark.parametrize("tool", ["gzip", "zstd", "xz", "bzip2"])
def test_archives_that_are_compressed_as_a_whole(tmp_path: Path, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    image = small("text", "app:1")
    made_by = subprocess.run(
        [tool, "-c"], input=packed(docker_archive(image)), stdout=subprocess.PIPE, check=True
    )
    (tmp_path / "a").write_bytes(made_by.stdout)
    copied(tmp_path / "store", f"docker-archive:{tmp_path}/a", "ferry:app:2")
    assert find(open_store(str(tmp_path / "store")), "app:2").id == image.id


@pytest.mark.parametrize("how", ["gzip", "zstd:3"])
@pytest.mark.parametrize("form", FORMS)
def test_layers_are_compressed(tmp_path: Path, form: str, how: str) -> None:
    image = small("text" * 1000, "app:1")
    first = source_of(layout(image), tmp_path / "first")
    there = end(form, tmp_path)
    digest = copied(tmp_path / "store", first, there, Options(compress=how))
    assert copied(tmp_path / "store", there, f"dir:{tmp_path}/read") == digest
    manifest = json.loads((tmp_path / "read/manifest.json").read_bytes())
    assert {x["mediaType"].rpartition("+")[2] for x in manifest["layers"]} == {how[:4]}
    assert manifest["config"]["digest"] == image.id
    # The store holds layers against diff IDs.
    copied(tmp_path / "other", f"dir:{tmp_path}/read", "ferry:app:1")
    with pytest.raises(UsageError):
        copied(tmp_path / "s", first, there, Options(compress=how, preserve_digests=True))


def test_an_index_keeps_all_that_it_names(tmp_path: Path) -> None:
    images = [made(tar_of(member(a)), architecture=a) for a in ("amd64", "arm64")]
    parts = layout()
    targets = [
        put_image(parts, image) | {"platform": {"os": "linux", "architecture": arch}}
        for image, arch in zip(images, ("amd64", "arm64"), strict=True)
    ]
    nothing = put(parts, b"{}", "application/vnd.oci.empty.v1+json")
    statement = put(parts, b"a statement", "application/vnd.in-toto+json")
    attestation = put(
        parts,
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": nothing,
                "layers": [statement],
            }
        ).encode(),
        "application/vnd.oci.image.manifest.v1+json",
    )
    parts["index.json"] = index(put_index(parts, *targets, attestation))
    first = source_of(parts, tmp_path / "first")
    wanted = json.loads(parts["index.json"])["manifests"][0]["digest"]
    for form in FORMS:
        there = end(form, tmp_path)
        assert copied(tmp_path / "store", first, there, Options(every=True)) == wanted
        assert copied(tmp_path / "store", there, f"dir:{tmp_path}/b", Options(every=True)) == wanted
    arm = Options(platform=copies.options(False, "linux/arm64", "none", False).platform)
    assert copied(tmp_path / "store", first, f"dir:{tmp_path}/arm", arm) == targets[1]["digest"]
    # Compressed layers are another's manifest's, and those another's index's.
    changed = copied(
        tmp_path / "s2", first, f"dir:{tmp_path}/c", Options(every=True, compress="gzip")
    )
    said = json.loads((tmp_path / "c/manifest.json").read_bytes())
    assert sha256((tmp_path / "c/manifest.json").read_bytes()) == changed
    assert [x.get("platform") for x in said["manifests"]] == [
        *(target["platform"] for target in targets),
        None,
    ]
    assert said["manifests"][2]["digest"] == attestation["digest"]


def spoilt(tmp_path: Path, spoil: Callable[[Parts, Made], None]) -> str:
    image = small("text", "app:1")
    parts = layout(image, compression="gzip")
    spoil(parts, image)
    return source_of(parts, tmp_path / "first")


def blob(parts: Parts, kind: str) -> str:
    target = json.loads(parts["index.json"])["manifests"][0]["digest"]
    manifest = f"blobs/{target.replace(':', '/')}"
    said = json.loads(parts[manifest])
    digest = {"config": said["config"]["digest"], "layer": said["layers"][1]["digest"]}.get(kind)
    return f"blobs/{digest.replace(':', '/')}" if digest else manifest


def damaged(kind: str) -> Callable[[Parts, Made], None]:
    def spoil(parts: Parts, image: Made) -> None:
        name = blob(parts, kind)
        parts[name] = bytes([parts[name][0] ^ 1]) + parts[name][1:]

    return spoil


def shorter(kind: str) -> Callable[[Parts, Made], None]:
    def spoil(parts: Parts, image: Made) -> None:
        name = blob(parts, kind)
        parts[name] = parts[name][:-1]

    return spoil


def gone(kind: str) -> Callable[[Parts, Made], None]:
    def spoil(parts: Parts, image: Made) -> None:
        del parts[blob(parts, kind)]

    return spoil


FAULTS = {
    f"{fault.__name__}-{kind}": fault(kind)
    for fault in (damaged, shorter, gone)
    for kind in ("config", "layer", "manifest")
}


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "/meta/" not in str(path)
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_false_is_refused(tmp_path: Path, form: str, fault: str) -> None:
    """Whatever stood at the destination before still stands there, and nothing else does."""
    source = spoilt(tmp_path, FAULTS[fault])
    good = small("an older one", "app:1")
    before = source_of(layout(good), tmp_path / "good")
    (tmp_path / "there").mkdir()
    there = end(form, tmp_path / "there")
    if form != "docker-archive":  # which is never written again
        copied(tmp_path / "there/store", before, there)
    standing = everything(tmp_path / "there")
    with pytest.raises(FerryError) as raised:
        copied(tmp_path / "there/store", source, there)
    assert "\n" not in str(raised.value)
    left = everything(tmp_path / "there")
    assert {name: left[name] for name in standing} == standing
    new = set(left.keys() - standing.keys())
    # Whole blobs may lie in a layout or folder, of no image; no name, and nothing half.
    if form in ("oci", "dir"):
        assert all(sha256(left[name])[7:] == os.path.basename(name) for name in new)
    else:
        assert not new
    if form != "docker-archive":
        copied(tmp_path / "there/store", there, f"dir:{tmp_path}/read")
        read = json.loads((tmp_path / "read/manifest.json").read_bytes())
        assert read["config"]["digest"] == good.id


def test_hostile_documents(tmp_path: Path) -> None:
    layer = {"mediaType": "x", "digest": sha256(b""), "size": 0}
    manifest = {"schemaVersion": 2, "config": layer, "layers": []}
    deep: Parts = layout()
    inner = put(deep, json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    for _ in range(20):
        inner = put_index(deep, inner)
    deep["index.json"] = index(inner)
    sizes: Parts = layout()
    twice = [{**layer, "size": 0}, {**layer, "size": 1}]
    two = json.dumps({**manifest, "layers": twice}).encode()
    sizes["index.json"] = index(put(sizes, two, "application/vnd.oci.image.manifest.v1+json"))
    huge: Parts = layout()
    target = put(huge, b"{}", "application/vnd.oci.image.manifest.v1+json")
    huge["index.json"] = index({**target, "size": 1 << 40})
    both: Parts = layout()
    ambiguous = json.dumps({**manifest, "manifests": []}).encode()
    both["index.json"] = index(put(both, ambiguous, "application/vnd.oci.image.index.v1+json"))
    other: Parts = layout()
    plain = json.dumps(manifest | {"mediaType": "application/vnd.oci.image.manifest.v1+json"})
    other["index.json"] = index(
        put(other, plain.encode(), "application/vnd.docker.distribution.manifest.v2+json")
    )
    for number, parts in enumerate((deep, sizes, huge, both, other)):
        source = source_of(parts, tmp_path / str(number))
        with pytest.raises(FerryError):
            copied(tmp_path / "store", source, f"dir:{tmp_path}/d", Options(every=True))
        assert not (tmp_path / "d/manifest.json").exists()


def test_a_layer_that_is_here_is_no_other(tmp_path: Path) -> None:
    """A config that names another diff ID is refused, be the layer's blob new or not."""
    image = small("text", "app:1")
    copied(tmp_path / "store", source_of(layout(image), tmp_path / "first"), "ferry:app:1")
    config = json.loads(image.config)
    config["rootfs"]["diff_ids"][1] = sha256(b"another")
    false = image._replace(config=json.dumps(config).encode())
    for compression in ("none", "gzip"):
        source = source_of(layout(false, compression=compression), tmp_path / compression)
        for _ in range(2):
            with pytest.raises(FerryError, match="diffID"):
                copied(tmp_path / "store", source, "ferry:app:2")


def test_files_that_are_none(tmp_path: Path) -> None:
    image = small("text", "app:1")
    parts = layout(image)
    source = source_of(parts, tmp_path / "first")
    name = tmp_path / "first" / blob(parts, "layer")
    name.unlink()
    os.mkfifo(name)
    with pytest.raises(FerryError, match="not a file"):
        copied(tmp_path / "store", source, "ferry:app:1")
    name.unlink()
    name.symlink_to("/dev/zero")
    with pytest.raises(FerryError, match="not a file"):
        copied(tmp_path / "store", source, "ferry:app:1")
    for index_file in ("first/index.json",):
        (tmp_path / index_file).unlink()
        os.mkfifo(tmp_path / index_file)
        with pytest.raises(FerryError, match="not a file"):
            copied(tmp_path / "store", source, "ferry:app:1")


def test_a_folder_of_others_is_not_written_to(tmp_path: Path) -> None:
    source = source_of(layout(small("text", "app:1")), tmp_path / "first")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    with pytest.raises(FerryError, match="not empty"):
        copied(tmp_path / "store", source, f"dir:{tmp_path}/mine")
    assert os.listdir(tmp_path / "mine") == ["letter"]
    # One of its own is: what an older image left there goes.
    copied(tmp_path / "store", source, f"dir:{tmp_path}/d")
    other = source_of(layout(small("other", "app:1")), tmp_path / "second")
    copied(tmp_path / "store", other, f"dir:{tmp_path}/d")
    assert len(os.listdir(tmp_path / "d")) == 5


def test_names_of_a_layout(tmp_path: Path) -> None:
    one = source_of(layout(small("one", "app:1")), tmp_path / "one")
    two = source_of(layout(small("two", "app:1")), tmp_path / "two")
    at = f"oci:{tmp_path}/all"
    first = copied(tmp_path / "s", one, f"{at}:a")
    second = copied(tmp_path / "s", two, f"{at}:b")
    assert copied(tmp_path / "s", f"{at}:a", f"dir:{tmp_path}/d") == first
    assert copied(tmp_path / "s", f"{at}:@1", f"dir:{tmp_path}/d") == second
    with pytest.raises(FerryError, match="say which"):
        copied(tmp_path / "s", at, f"dir:{tmp_path}/d")
    for wrong in (f"{at}:c", f"{at}:@2", f"{at}:@x"):
        with pytest.raises(ImageNotFound):
            copied(tmp_path / "s", wrong, f"dir:{tmp_path}/d")
    # A name that is given to another image leaves the first one.
    copied(tmp_path / "s", two, f"{at}:a")
    listed = json.loads((tmp_path / "all/index.json").read_bytes())["manifests"]
    assert sorted(x["annotations"]["org.opencontainers.image.ref.name"] for x in listed) == [
        "a",
        "b",
    ]
    assert {x["digest"] for x in listed} == {second}


def test_words_that_are_no_ends() -> None:
    for text in ("app", "x:app", "docker:app", "oci:", "docker://", "s3:bucket", "ssh://host", ":"):
        with pytest.raises(UsageError):
            host.parse(text) if text == "ssh://host" else copies.parse(text)
    assert copies.parse("docker://a/b:1") == End("docker", "a/b:1")
    assert str(copies.parse("oci:/a:b:c")) == "oci:/a:b:c"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), form=st.sampled_from(FORMS[:2]))
def test_any_bit_of_an_archive(tmp_path: Path, at: int, bit: int, form: str) -> None:
    """A changed archive is refused, or the image of it is what it was."""
    image = small("text", "app:1")
    parts = docker_archive(image) if form == "docker-archive" else layout(image)
    content = bytearray(packed(parts))
    content[at % len(content)] ^= 1 << bit
    (tmp_path / "a.tar").write_bytes(content)
    shutil.rmtree(tmp_path / "d", ignore_errors=True)
    try:
        copied(tmp_path / "store", f"{form}:{tmp_path}/a.tar", f"dir:{tmp_path}/d")
    except FerryError:
        return
    said = json.loads((tmp_path / "d/manifest.json").read_bytes())
    assert [x["digest"] for x in said["layers"]] == image.diff_ids


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of an image of 250 MB, nearly all of which is a hole."""
    folder = tmp_path_factory.mktemp("large")
    size = 250 << 20
    info = tarfile.TarInfo("zeros")
    info.size = size
    running = hashlib.sha256(info.tobuf())
    for _ in range(size >> 20):
        running.update(bytes(1 << 20))
    running.update(bytes(1024))
    length = 512 + size + 1024
    config = made(b"", rootfs={"type": "layers", "diff_ids": [f"sha256:{running.hexdigest()}"]})
    said = [{"Config": "c.json", "RepoTags": ["large:1"], "Layers": ["l.tar"]}]
    with (folder / "large.tar").open("wb") as f:
        with tarfile.open(fileobj=f, mode="w|") as tar:
            for name, content in (
                ("c.json", config.config),
                ("manifest.json", json.dumps(said).encode()),
            ):
                each, content = member(name, content)
                tar.addfile(each, io.BytesIO(content))
        f.seek(0, os.SEEK_END)
    # The end of it is where the layer begins.
    content = (folder / "large.tar").read_bytes().rstrip(b"\0")
    content += bytes(-len(content) % 512)
    with (folder / "large.tar").open("wb") as f:
        layer = tarfile.TarInfo("l.tar")
        layer.size = length
        f.write(content + layer.tobuf() + info.tobuf())
        f.truncate(f.tell() - 512 + length + (-length % 512) + 1024)
    return folder / "large.tar"


def test_memory_is_that_of_a_few_buffers(large: Path, ferry: Ferry, tmp_path: Path) -> None:
    for source, target, *flags in (
        (f"docker-archive:{large}", f"oci:{tmp_path}/oci:a", "--compress", "zstd"),
        (f"docker-archive:{large}", "ferry:large:1"),
        (f"oci:{tmp_path}/oci:a", f"docker-archive:{tmp_path}/a.tar:a:1"),
    ):
        check_peak(begun(ferry, "copy", *flags, source, target))


@pytest.mark.parametrize("form", FORMS)
def test_killed_at_any_moment(large: Path, ferry: Ferry, tmp_path: Path, form: str) -> None:
    """What is there after that is an image, or nothing."""
    there = end(form, tmp_path)
    process = ferry.popen("copy", f"docker-archive:{large}", there)
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL if form != "dir" else signal.SIGINT)
    process.communicate()
    done = ferry("copy", there, f"dir:{tmp_path}/read", check=False)
    assert done.returncode == (0 if process.returncode == 0 else 1)
    assert done.stderr.count(b"\n") == done.returncode
    # What is left does not stand in the way.
    ferry("copy", f"docker-archive:{large}", there)
    ferry("copy", there, f"dir:{tmp_path}/read")


def test_digest_file(ferry: Ferry, tmp_path: Path) -> None:
    source = source_of(layout(small("text", "app:1")), tmp_path / "first")
    digest = ferry.text("copy", "--digestfile", tmp_path / "digest", source, f"dir:{tmp_path}/d")
    assert (tmp_path / "digest").read_text() == digest
    said = ferry("copy", "-q", source, f"dir:{tmp_path}/d")
    assert said.stdout + said.stderr == b""
    wrong = ferry("copy", source, "nowhere", check=False)
    assert (wrong.returncode, wrong.stderr.count(b"\n")) == (1, 1)


def test_an_archive_to_standard_output(ferry: Ferry, tmp_path: Path) -> None:
    image = small("text", "app:1")
    source = source_of(layout(image), tmp_path / "first")
    archive = ferry("copy", source, "docker-archive:/dev/stdout:app:2").stdout
    ferry("load", input=archive)
    assert ferry.text("inspect", "-f", "{{.Id}}", "app:2") == image.id
    done = ferry("copy", "docker-archive:/dev/stdin:app:2", "ferry:app:3", input=archive)
    assert done.returncode == 0
