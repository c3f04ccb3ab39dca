"""``ferry copy`` and ``sync`` between real ends, read and written by skopeo on the other side."""

import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ferryman.operations import copy as copies
from ferryman.store.layout import open_store
from tests.command import Command
from tests.images import (
    Made,
    folder,
    layout,
    made,
    member,
    packed,
    plain,
    put_image,
    put_index,
    sha256,
    tar_of,
)
from tests.images import index as index_of
from tests.peers import hosts, registry, swift
from tests.peers.conftest import need
from tests.peers.registry import Registry
from tests.peers.swift import Buckets

pytestmark = [pytest.mark.peer, pytest.mark.slow]

ENDS = (
    "docker-archive",
    "oci-archive",
    "oci",
    "dir",
    "docker",
    "docker-daemon",
    "containers-storage",
)


def noise(name: str, size: int = 200_000) -> bytes:
    return tar_of(
        folder("data"), member(f"data/{name}", hashlib.shake_256(name.encode()).digest(size))
    )


IMAGE = made(noise("lower"), noise("upper"), config={"Env": ["PATH=/bin"]})


class Ends(NamedTuple):
    """All ends of this machine, and the tools that go between them."""

    ferry: Command
    skopeo: Command
    folder: Path
    registry: Registry
    storage: str
    """What stands in front of a name in podman's storage."""
    docker_host: str

    def end(self, transport: str, name: str) -> str:
        """Return an image's place in words that ferry and skopeo share."""
        return {
            "docker-archive": f"docker-archive:{self.folder}/{name}.tar:ferry-copy/{name}:1",
            "oci-archive": f"oci-archive:{self.folder}/{name}-oci.tar:one",
            "oci": f"oci:{self.folder}/{name}-oci:one",
            "dir": f"dir:{self.folder}/{name}-dir",
            "docker": f"docker://{self.registry.address}/copy/{name}:1",
            "docker-daemon": f"docker-daemon:ferry-copy/{name}:1",
            "containers-storage": f"containers-storage:{self.storage}ferry-copy/{name}:1",
        }[transport]

    def by_skopeo(self, source: str, destination: str) -> None:
        flags = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        for side, end in (("src", source), ("dest", destination)):
            if end.startswith("docker-daemon:"):
                flags.append(f"--{side}-daemon-host={self.docker_host}")
        self.skopeo.run("copy", "--quiet", *flags, source, destination)

    def read(self, end: str, path: Path) -> dict[str, Any]:
        """Have skopeo read an image, each blob verified, and see that it is ours."""
        self.by_skopeo(end, f"dir:{path}")
        manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text())
        assert (path / manifest["config"]["digest"][7:]).read_bytes() == IMAGE.config
        layers = [plain((path / layer["digest"][7:]).read_bytes()) for layer in manifest["layers"]]
        assert layers == list(IMAGE.layers)
        return manifest


@pytest.fixture(scope="session")
def ends(
    private: Path,
    peer_env: dict[str, str],
    skopeo: Command,
    podman: Command,
    dockerd: Command,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ends]:
    need("docker-registry", "setpriv")
    here = tmp_path_factory.mktemp("copy")
    (here / "docker-config").mkdir()
    (here / "docker-config/config.json").write_text("{}")
    nobody = {
        "DOCKER_CONFIG": str(here / "docker-config"),
        "XDG_CONFIG_HOME": str(here / "config"),
        "FERRY_REGISTRIES": str(here / "registries.toml"),
    }
    place = dict(zip(podman.argv[1::2], podman.argv[2::2], strict=True))
    storage = f"[{place['--storage-driver']}@{place['--root']}+{place['--runroot']}]"
    ferry = Command(
        (sys.executable, "-m", "ferryman", "--root", str(here / "store")),
        {**peer_env, **dockerd.env, **nobody},
    )
    skopeo = Command(skopeo.argv, {**skopeo.env, "DOCKER_CONFIG": nobody["DOCKER_CONFIG"]})
    with registry.running(private / "copy-registry") as found:
        yield Ends(ferry, skopeo, here, found, storage, dockerd.env["DOCKER_HOST"])


@pytest.fixture(scope="session")
def sources(ends: Ends) -> Mapping[str, str]:
    """The image at every end, brought there by skopeo."""
    first = ends.folder / "first.tar"
    first.write_bytes(packed(layout(IMAGE, compression="gzip")))
    found = {transport: ends.end(transport, "source") for transport in ENDS}
    for destination in found.values():
        ends.by_skopeo(f"oci-archive:{first}", destination)
    return found


@pytest.mark.parametrize("target", ENDS)
@pytest.mark.parametrize("origin", ENDS)
def test_between_any_two(
    ends: Ends, sources: Mapping[str, str], tmp_path: Path, origin: str, target: str
) -> None:
    destination = ends.end(target, f"from-{origin}")
    digest = ends.ferry.text("copy", sources[origin], destination)
    there = ends.read(destination, tmp_path / "read")
    if target in ("oci", "oci-archive", "dir", "docker"):
        assert sha256((tmp_path / "read/manifest.json").read_bytes()) == digest
    # Nothing was compressed, or undone, on the way.
    if target in ("oci", "docker", "dir") and origin in ("oci", "docker", "dir"):
        assert all(layer["mediaType"].endswith("gzip") for layer in there["layers"])


@pytest.mark.parametrize("origin", ENDS)
def test_to_and_from_the_store(
    ends: Ends, sources: Mapping[str, str], tmp_path: Path, origin: str
) -> None:
    name = f"ferry:kept-{origin}:1"
    digest = ends.ferry.text("copy", sources[origin], name)
    assert ends.ferry.text("inspect", "-f", "{{.Id}}", name[6:]) == IMAGE.id
    ends.read(f"oci:{ends.folder}/store/image:{name[6:]}", tmp_path / "read")
    again = f"dir:{tmp_path}/again"
    assert ends.ferry.text("copy", name, again) == digest
    ends.read(again, tmp_path / "read-again")


def test_a_docker_manifest_becomes_one_of_oci_where_it_must(ends: Ends, tmp_path: Path) -> None:
    source = f"docker://{ends.registry.address}/copy/of-docker:1"
    first = tmp_path / "first.tar"
    first.write_bytes(packed(layout(IMAGE, compression="gzip")))
    flags = ("--format", "v2s2", "--dest-tls-verify=false")
    ends.skopeo.run("copy", "--quiet", *flags, f"oci-archive:{first}", source)
    before = ends.read(source, tmp_path / "before")
    assert before["mediaType"].startswith("application/vnd.docker.")
    ends.ferry.run("copy", source, f"oci:{tmp_path}/oci:a")
    after = ends.read(f"oci:{tmp_path}/oci:a", tmp_path / "after")
    assert after["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert [x["digest"] for x in after["layers"]] == [x["digest"] for x in before["layers"]]
    kept = ends.ferry.text("copy", "--preserve-digests", source, f"dir:{tmp_path}/kept")
    assert kept == sha256((tmp_path / "before/manifest.json").read_bytes())
    refused = ends.ferry.run(
        "copy", "--preserve-digests", source, f"oci:{tmp_path}/not", check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.count(b"\n") == 1
    assert not (tmp_path / "not").exists()


def two_platforms(*, name: str = "both") -> tuple[bytes, list[Made]]:
    images = [made(noise(arch), architecture=arch) for arch in ("amd64", "arm64")]
    parts = layout()
    children = [
        put_image(parts, image, "gzip")
        | {"platform": {"os": "linux", "architecture": json.loads(image.config)["architecture"]}}
        for image in images
    ]
    target = put_index(parts, *children)
    parts["index.json"] = index_of(
        {**target, "annotations": {"org.opencontainers.image.ref.name": name}}
    )
    return packed(parts), images


def test_an_index_as_a_whole(ends: Ends, tmp_path: Path) -> None:
    archive, images = two_platforms()
    (tmp_path / "both.tar").write_bytes(archive)
    source = f"oci-archive:{tmp_path}/both.tar:both"
    name = f"docker://{ends.registry.address}/copy/both:1"
    digest = ends.ferry.text("copy", "--all", "--preserve-digests", source, name)
    raw = ends.skopeo.run("inspect", "--raw", "--tls-verify=false", name).stdout
    assert sha256(raw) == digest
    # skopeo reads all of it, and ferry what skopeo writes.
    flags = ("--all", "--quiet", "--src-tls-verify=false")
    ends.skopeo.run("copy", *flags, name, f"dir:{tmp_path}/by-skopeo")
    for target in (f"dir:{tmp_path}/dir", f"oci:{tmp_path}/oci:x", "ferry:both:1"):
        origin = f"dir:{tmp_path}/by-skopeo"
        assert ends.ferry.text("copy", "--all", origin, target) == digest
    ends.skopeo.run("copy", "--all", "--quiet", f"dir:{tmp_path}/dir", f"dir:{tmp_path}/back")
    for image in images:
        architecture = json.loads(image.config)["architecture"]
        one = f"dir:{tmp_path}/{architecture}"
        ends.ferry.run("copy", "--platform", f"linux/{architecture}", name, one)
        manifest = json.loads((tmp_path / architecture / "manifest.json").read_text())
        assert manifest["config"]["digest"] == image.id
    refused = ends.ferry.run("copy", "--platform", "linux/s390x", name, "ferry:no:1", check=False)
    assert refused.returncode == 1
    assert b"linux/s390x" in refused.stderr


def test_a_daemon_is_sent_what_it_lacks(
    ends: Ends, dockerd: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", ends.docker_host)
    lower = noise("lower of two")
    how = copies.means(lambda: open_store(str(tmp_path / "store")))
    for number, wanted in ((1, 2), (2, 1), (2, 0)):
        image = made(lower, noise(f"upper {number}"))
        (tmp_path / "a.tar").write_bytes(packed(layout(image)))
        done = copies.copy(
            how,
            copies.parse(f"oci-archive:{tmp_path}/a.tar"),
            copies.parse(f"docker-daemon:ferry-copy/two:{number}"),
        )
        assert dockerd.text("image", "inspect", "-f", "{{.Id}}", f"ferry-copy/two:{number}") == (
            image.id
        )
        layers = wanted * len(lower)
        assert layers <= done.sent < layers + 5000


def test_one_image_is_no_index(ends: Ends, tmp_path: Path) -> None:
    (tmp_path / "both.tar").write_bytes(two_platforms()[0])
    for target in ("docker-daemon", "containers-storage"):
        end = ends.end(target, "not-both")
        done = ends.ferry.run("copy", "--all", f"oci-archive:{tmp_path}/both.tar", end, check=False)
        assert done.returncode == 1
        assert b"index" in done.stderr


def test_layers_are_compressed_where_that_is_wanted(
    ends: Ends, sources: Mapping[str, str], tmp_path: Path
) -> None:
    for how in ("gzip", "zstd"):
        target = ends.end("docker", f"pressed-{how}")
        ends.ferry.run("copy", "--compress", how, sources["docker-daemon"], target)
        there = ends.read(target, tmp_path / how)
        assert {layer["mediaType"].rpartition("+")[2] for layer in there["layers"]} == {how}


def test_blobs_are_taken_over_within_a_registry(ends: Ends, sources: Mapping[str, str]) -> None:
    target = f"{ends.registry.address}/copy/elsewhere:1"
    ends.ferry.run("copy", sources["docker"], f"docker://{target}")
    assert ends.registry.requests("POST", "copy/elsewhere/blobs/uploads/?mount=")
    assert not ends.registry.requests("PATCH", "copy/elsewhere")
    assert not ends.registry.requests("PUT", "copy/elsewhere/blobs")


def test_what_is_missing_or_wrong_is_one_line(
    ends: Ends, sources: Mapping[str, str], tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "letter").write_text("mine")
    for source, target in (
        (f"docker://{ends.registry.address}/copy/nothing:1", "ferry:x:1"),
        ("docker-daemon:ferry-copy/nothing:1", "ferry:x:1"),
        ("docker-daemon:ferry-copy/nothing", "ferry:x:1"),
        (f"containers-storage:{ends.storage}nothing", "ferry:x:1"),
        (f"oci:{tmp_path}/nothing", "ferry:x:1"),
        (f"docker-archive:{tmp_path}/nothing", "ferry:x:1"),
        (f"dir:{there}", "ferry:x:1"),
        ("ferry:nothing", f"dir:{tmp_path}/new"),
        (sources["oci"], f"dir:{there}"),
        (sources["oci"], f"docker-archive:{there}/letter:a:1"),
        (sources["oci"], "docker://127.0.0.1:1/a:1"),
        (sources["oci"], "oci:/dev/null/x"),
    ):
        done = ends.ferry.run("copy", source, target, check=False)
        assert done.returncode == 1, (source, target)
        assert done.stderr.count(b"\n") == 1, done.stderr
        assert b"Traceback" not in done.stderr
    assert [path.name for path in there.iterdir()] == ["letter"]


@pytest.fixture(scope="session")
def buckets(private: Path) -> Iterator[Buckets]:
    with swift.running(private) as found:
        found.ask("PUT", "/images")
        yield found


def test_object_stores(
    ends: Ends, sources: Mapping[str, str], buckets: Buckets, tmp_path: Path
) -> None:
    ferry = Command(ends.ferry.argv, {**ends.ferry.env, **buckets.env})
    digest = ferry.text("copy", sources["docker"], "s3://images/some/where:app:1")
    # A blob that is sent in parts.
    large = made(noise("large", 20 << 20))
    (tmp_path / "large.tar").write_bytes(packed(layout(large)))
    second = ferry.text("copy", f"oci-archive:{tmp_path}/large.tar", "s3://images/some/where:big")
    listed = json.loads(buckets.ask("GET", "/images/some/where/index.json"))["manifests"]
    assert [each["digest"] for each in listed] == [digest, second]
    for name, wanted in (("app:1", digest), ("big", second)):
        back = f"oci:{tmp_path}/back:{name}"
        assert ferry.text("copy", f"s3://images/some/where:{name}", back) == wanted
    ends.read(f"oci:{tmp_path}/back:app:1", tmp_path / "read")
    ends.by_skopeo(f"oci:{tmp_path}/back:big", f"dir:{tmp_path}/big")
    for end in ("s3://nowhere/x:1", "s3://images/nothing:1"):
        done = ferry.run("copy", end, f"dir:{tmp_path}/x", check=False)
        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1, done.stderr
    stranger = Command(ferry.argv, {**ferry.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    done = stranger.run("copy", sources["oci"], "s3://images/no", check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)


@pytest.mark.parametrize("fault", ["layer", "config"])
@pytest.mark.parametrize("target", ["docker", "docker-daemon", "containers-storage", "s3"])
def test_what_is_false_arrives_nowhere(
    ends: Ends, buckets: Buckets, tmp_path: Path, target: str, fault: str
) -> None:
    image = made(noise("lower"), noise("upper", 12 << 20))
    parts = layout(image, compression="gzip")
    digest = json.loads(parts["index.json"])["manifests"][0]["digest"]
    manifest = json.loads(parts[f"blobs/{digest.replace(':', '/')}"])
    part = manifest["layers"][1] if fault == "layer" else manifest["config"]
    name = f"blobs/{part['digest'].replace(':', '/')}"
    parts[name] = parts[name][:-1] + bytes([parts[name][-1] ^ 1])
    (tmp_path / "bad.tar").write_bytes(packed(parts))
    destination = (
        f"s3://images/bad-{fault}:1"
        if target == "s3"
        else ends.end(target, f"bad-{target}-{fault}")
    )
    ferry = Command(ends.ferry.argv, {**ends.ferry.env, **buckets.env})
    done = ferry.run("copy", f"oci-archive:{tmp_path}/bad.tar", destination, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert part["digest"].encode() in done.stderr
    again = ferry.run("copy", destination, f"dir:{tmp_path}/back", check=False)
    assert again.returncode == 1
    assert again.stderr.count(b"\n") == 1


@pytest.mark.parametrize("target", ["docker", "docker-daemon", "containers-storage"])
@pytest.mark.usefixtures("interruptible")
def test_interrupted(ends: Ends, tmp_path: Path, target: str) -> None:
    large = made(noise(f"for {target}", 60 << 20))
    (tmp_path / "large.tar").write_bytes(packed(layout(large)))
    destination = ends.end(target, "interrupted")
    process = ends.ferry.popen("copy", f"oci-archive:{tmp_path}/large.tar", destination)
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode in (0, 130), errors
    assert b"Traceback" not in errors
    # All of it is there (a daemon that has it may go on by itself), or nothing.
    again = ends.ferry.run("copy", destination, f"dir:{tmp_path}/back", check=False)
    assert again.returncode in (0, 1)
    assert again.returncode == 0 or process.returncode == 130
    assert again.stderr.count(b"\n") == again.returncode


def test_many_by_a_list(ends: Ends, sources: Mapping[str, str], tmp_path: Path) -> None:
    address = ends.registry.address
    for tag in ("1.0", "1.1", "2.0"):
        ends.ferry.run("copy", sources["oci"], f"docker://{address}/list/app:{tag}")
    listed = {
        address: {
            "images": {"list/app": ["1.0"], "list/nothing": ["1"]},
            "images-by-tag-regex": {"list/app": "^1\\.1"},
        }
    }
    (tmp_path / "skopeo.yml").write_text(json.dumps(listed))
    done = ends.ferry.run(
        "sync", tmp_path / "skopeo.yml", f"docker://{address}/mirror", check=False
    )
    # What fails does not stop the others.
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"list/nothing" in done.stderr
    tags = json.loads(
        ends.skopeo.run("list-tags", "--tls-verify=false", f"docker://{address}/mirror/app").stdout
    )["Tags"]
    assert sorted(tags) == ["1.0", "1.1"]
    assert not ends.registry.requests("PATCH", "mirror/app")
    (tmp_path / "pairs.yml").write_text(
        f"- {sources['docker']} oci:{tmp_path}/many:a\n- {address}/list/app:2.0\n"
    )
    ends.ferry.run("sync", tmp_path / "pairs.yml", f"oci:{tmp_path}/many")
    for name in ("a", "app:2.0"):
        ends.read(f"oci:{tmp_path}/many:{name}", tmp_path / f"read-{name[:1]}{len(name)}")
    assert len(list((tmp_path / "many/blobs/sha256").iterdir())) == 1 + 1 + 2
    (tmp_path / "compose.yml").write_text(
        f"services: {{a: {{image: '{address}/list/app:1.0'}}, b: {{image: 'list/gone:1'}}}}\n"
    )
    said = ends.ferry.text("sync", "--dry-run", tmp_path / "compose.yml", "ferry:")
    assert said.splitlines() == [
        f"docker://{address}/list/app:1.0 -> ferry:{address}/list/app:1.0",
        "docker://list/gone:1 -> ferry:list/gone:1",
    ]


def test_other_machines(
    private: Path, ends: Ends, sources: Mapping[str, str], tmp_path: Path
) -> None:
    need("sshd", "ip")
    with (
        hosts.network(private / "copy-net") as network,
        hosts.host(network, "far", 2) as far,
        hosts.with_docker(far, private / "cd") as docker,
    ):
        ferry = network.ferry(tmp_path / "store")
        ferry("copy", "-q", sources["docker-archive"], "ssh://far/some/app:1")
        assert docker.text("image", "inspect", "-f", "{{.Id}}", "some/app:1") == IMAGE.id
        ferry("copy", "-q", "ssh://far/some/app:1", f"dir:{tmp_path}/back")
        ends.read(f"dir:{tmp_path}/back", tmp_path / "read")
        far.give("zstd")
        ferry("copy", "-q", "ssh://far/some/app:1", f"dir:{tmp_path}/pressed")
        ends.read(f"dir:{tmp_path}/pressed", tmp_path / "read-pressed")
        # One that fails in the middle says why, by whatever way its bytes come.
        real = (far.folder / "bin/docker").read_text()
        far.script("docker", f'[ "$1" = save ] && {{ echo broken >&2; exit 3; }}\n{real}')
        done = ferry("copy", "ssh://far/some/app:1", f"dir:{tmp_path}/x", check=False)
        assert (done.returncode, done.stderr) == (1, b"Error: ssh://far/some/app:1: broken\n")
        far.script("docker", real)
        # From the store, under another name.
        ferry("copy", "-q", sources["oci"], "ferry:mine:1")
        ferry("copy", "-q", "ferry:mine:1", "ssh://far/other/app:2")
        assert docker.text("image", "inspect", "-f", "{{.Id}}", "other/app:2") == IMAGE.id
        done = ferry("copy", "ssh://far/nothing:1", f"dir:{tmp_path}/x", check=False)
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
