"""The same repositories of a real registry, for ferry and for docker, podman and skopeo."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ferryman.archive.stream import BytesStream
from ferryman.store import below
from tests.command import Command
from tests.ferry import Ferry
from tests.images import (
    Made,
    docker_archive,
    folder,
    index,
    layout,
    made,
    member,
    named,
    packed,
    put,
    put_image,
    sha256,
    tar_of,
)
from tests.peers.conftest import need
from tests.peers.engines import in_docker, in_ferry, in_podman
from tests.peers.registry import Registry, between, running

pytestmark = pytest.mark.peer

INSECURE = ("--tls-verify=false",)


def noise(name: str, size: int = 200_000) -> bytes:
    """Return a layer that does not become smaller, and is another one for each name."""
    return tar_of(
        folder("data"), member(f"data/{name}", hashlib.shake_256(name.encode()).digest(size))
    )


def image(*names: str, of: str = "an image") -> Made:
    return made(noise("shared"), noise(of), names=names)


@pytest.fixture(scope="session")
def registry(private: Path) -> Iterator[Registry]:
    need("docker-registry", "setpriv")
    with running(private / "registry") as found:
        yield found


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own settings."""
    (tmp_path / "docker-config").mkdir()
    # podman insists on it.
    (tmp_path / "docker-config/config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker-config"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("FERRY_REGISTRIES", str(tmp_path / "registries.toml"))


def loaded(ferry: Ferry, *images: Made, archive: str = "docker") -> None:
    parts = docker_archive(*images) if archive == "docker" else layout(*images)
    ferry("load", input=packed(parts))


def digest_of(skopeo: Command, name: str) -> str:
    raw = skopeo.run("inspect", "--raw", *INSECURE, f"docker://{name}").stdout
    return sha256(raw)


@pytest.mark.parametrize("compress", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("archive", ["docker", "oci"])
def test_what_ferry_pushes(
    ferry: Ferry,
    registry: Registry,
    podman: Command,
    skopeo: Command,
    dockerd: Command,
    tmp_path: Path,
    compress: str,
    archive: str,
) -> None:
    name = f"{registry.address}/of-ferry/{compress}-{archive}:1"
    wanted = image(name, of=f"{compress} {archive}")
    loaded(ferry, wanted, archive=archive)
    said = ferry.text("push", "--compress", compress, name).splitlines()
    assert said[0] == f"The push refers to repository [{name.rpartition(':')[0]}]"
    raw = skopeo.run("inspect", "--raw", *INSECURE, f"docker://{name}").stdout
    assert said[-1] == f"1: digest: {sha256(raw)} size: {len(raw)}"
    forms = {each["mediaType"].partition("+")[2] for each in json.loads(raw)["layers"]}
    assert forms == {"" if compress == "none" else compress}

    skopeo.run(
        "copy",
        *(f"--src{flag[1:]}" for flag in INSECURE),
        f"docker://{name}",
        f"oci:{tmp_path}/oci:x",
    )
    config = skopeo.run("inspect", "--config", "--raw", f"oci:{tmp_path}/oci:x").stdout
    assert sha256(config) == wanted.id
    podman.run("pull", "--quiet", *INSECURE, name)
    assert in_podman(podman, name).id.removeprefix("sha256:") == wanted.id[7:]
    assert list(in_podman(podman, name).layers) == wanted.diff_ids
    if compress == "gzip":
        dockerd.run("pull", name)
        seen = in_docker(dockerd, name)
        assert (seen.id, list(seen.layers)) == (wanted.id, wanted.diff_ids)
        (described,) = json.loads(dockerd.text("inspect", name))
        assert described["RepoDigests"] == [f"{name.rpartition(':')[0]}@{sha256(raw)}"]


@pytest.mark.parametrize("engine", ["docker", "podman", "skopeo", "skopeo-zstd", "skopeo-v2s2"])
def test_what_others_push(
    ferry: Ferry,
    registry: Registry,
    podman: Command,
    skopeo: Command,
    dockerd: Command,
    tmp_path: Path,
    engine: str,
) -> None:
    name = f"{registry.address}/of-others/{engine}:1"
    wanted = image(name, of=engine)
    tar = tmp_path / "image.tar"
    tar.write_bytes(packed(docker_archive(wanted)))
    if engine == "docker":
        dockerd.run("load", "-i", tar)
        dockerd.run("push", name)
    elif engine == "podman":
        podman.run("load", "-i", tar)
        podman.run("push", "--quiet", *INSECURE, name)
    else:
        form = {"skopeo-zstd": "--dest-compress-format=zstd", "skopeo-v2s2": "--format=v2s2"}
        flags = [form[engine]] if engine in form else []
        if engine == "skopeo-zstd":
            flags.append("--format=oci")
        to = f"docker://{name}"
        skopeo.run("copy", *flags, "--dest-tls-verify=false", f"docker-archive:{tar}", to)
    said = ferry.text("pull", name).splitlines()
    digest = digest_of(skopeo, name)
    assert said[0] == f"1: Pulling from of-others/{engine}"
    assert said[-3:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name]
    seen = in_ferry(ferry, name)
    # To make it an OCI image, which has to be for zstd, podman and skopeo write the config anew.
    config = skopeo.run("inspect", "--config", "--raw", *INSECURE, f"docker://{name}").stdout
    assert sha256(config) == wanted.id or engine in ("podman", "skopeo", "skopeo-zstd")
    assert (seen.id, list(seen.layers), seen.tags) == (
        sha256(config),
        wanted.diff_ids,
        frozenset((name,)),
    )
    (described,) = json.loads(ferry.text("inspect", name))
    assert described["RepoDigests"] == [f"{name.rpartition(':')[0]}@{digest}"]
    # Sent on, it is the same to the last byte.
    other = f"{registry.address}/sent-on/{engine}:2"
    ferry("tag", name, other)
    ferry("push", other)
    assert digest_of(skopeo, other) == digest
    ferry("system", "check", "--verify")


def test_words_of_pull_are_docker_s(ferry: Ferry, registry: Registry, dockerd: Command) -> None:
    name = f"{registry.address}/words/app"
    loaded(ferry, image(f"{name}:latest", f"{name}:2", of="words"))
    ferry("push", "-a", name)
    for engine in (ferry.at(None), dockerd):
        engine.run("rmi", f"{name}:latest", f"{name}:2", check=False)

    def said(engine: Command, *words: str) -> list[str]:
        lines = engine.text("pull", *words).splitlines()
        return [line for line in lines if line[12:14] != ": "]

    for words in ([name], [name], ["-q", name], ["-a", name], [f"{name}:2"]):
        assert said(ferry.at(None), *words) == said(dockerd, *words)


def test_errors_are_docker_s(ferry: Ferry, registry: Registry, dockerd: Command) -> None:
    def error(engine: Command, *words: str) -> str:
        done = engine.run(*words, check=False)
        assert done.returncode == 1
        return done.stderr.decode().strip().rpartition("\n")[2]

    loaded(ferry, image("only:here"))
    for words in (
        ("pull", f"{registry.address}/nothere"),
        ("pull", f"{registry.address}/nothere:1"),
        ("pull", f"{registry.address}/nothere@sha256:{'0' * 64}"),
        ("pull", "-a", f"{registry.address}/nothere"),
        ("pull", "127.0.0.1:1/x"),
        ("pull", "-a", "x:1"),
        ("push", "nothere"),
        ("push", f"x@sha256:{'0' * 64}"),
    ):
        wanted = error(dockerd, *words).removeprefix("Error response from daemon: ")
        assert error(ferry.at(None), *words) == f"Error: {wanted}", words


def test_by_digest(ferry: Ferry, registry: Registry, skopeo: Command, tmp_path: Path) -> None:
    name = f"{registry.address}/by/digest"
    loaded(ferry, image(f"{name}:1", of="digest"))
    ferry("push", f"{name}:1")
    digest = digest_of(skopeo, f"{name}:1")
    other = Ferry(tmp_path / "other")
    assert other.text("pull", "-q", f"{name}@{digest}") == f"{name}@{digest}"
    shown = other.text("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")
    assert shown == f"{name} <none> {digest}"
    assert other.text("pull", f"{name}:1").splitlines()[-1] == f"{name}:1"
    shown = other.text("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")
    assert shown == f"{name} 1 {digest}"


def test_platforms(ferry: Ferry, registry: Registry, skopeo: Command, tmp_path: Path) -> None:
    name = f"{registry.address}/platforms/app:1"
    (amd64, s390x) = index_of(skopeo, registry, tmp_path)
    ferry("pull", "--platform", "linux/s390x", name)
    assert in_ferry(ferry, name).id == s390x.id
    # The index is here with one of its parts; the other is at the registry: it is pushed whole.
    digest = digest_of(skopeo, name)
    again = f"{registry.address}/platforms/app:again"
    ferry("tag", name, again)
    ferry("push", again)
    assert digest_of(skopeo, again) == digest
    # Elsewhere it is not, and only what is here goes.
    other = f"{registry.address}/platforms/other:1"
    ferry("tag", name, other)
    said = ferry.text("push", other)
    assert "only the available single-platform image was pushed" in said
    assert f"{digest} -> {digest_of(skopeo, other)}" in said
    done = ferry("pull", "--platform", "linux/arm64", name, check=False)
    words = f"no matching manifest for linux/arm64/v8 in the manifest list entries of {name}"
    assert done.stderr.decode() == f"Error: {words}\n"
    ferry("pull", "--platform", "linux/amd64", name)
    assert {
        x["Id"] for x in json.loads(ferry.text("inspect", "--platform", "linux/amd64", name))
    } == {amd64.id}
    whole = f"{registry.address}/platforms/whole:1"
    ferry("tag", name, whole)
    ferry("push", whole)
    assert digest_of(skopeo, whole) == digest


def index_of(skopeo: Command, registry: Registry, tmp_path: Path) -> list[Made]:
    """Push an index of two platforms, made by hand, blob by blob."""
    import urllib.request

    from tests.registry.server import INDEX, MANIFEST, content

    base = f"http://{registry.address}/v2/platforms/app"

    def put(url: str, body: bytes, kind: str) -> None:
        headers = {"Content-Type": kind}
        urllib.request.urlopen(
            urllib.request.Request(url, data=body, headers=headers, method="PUT")
        ).close()

    images, children = [], []
    for arch in ("amd64", "s390x"):
        one = made(noise(f"platform {arch}"), architecture=arch)
        held = content(one)
        for digest, blob in held.blobs.items():
            begun = urllib.request.Request(f"{base}/blobs/uploads/", data=b"", method="POST")
            with urllib.request.urlopen(begun) as answer:
                where = answer.headers["Location"]
            put(f"{where}&digest={digest}", blob, "application/octet-stream")
        put(f"{base}/manifests/{sha256(held.manifest)}", held.manifest, MANIFEST)
        children.append(
            {
                "mediaType": MANIFEST,
                "digest": sha256(held.manifest),
                "size": len(held.manifest),
                "platform": {"os": "linux", "architecture": arch},
            }
        )
        images.append(one)
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
    put(f"{base}/manifests/1", json.dumps(document).encode(), INDEX)
    return images


def test_only_what_is_missing_is_sent(ferry: Ferry, registry: Registry, tmp_path: Path) -> None:
    first, second = (f"{registry.address}/missing/{name}" for name in ("one", "two"))
    loaded(ferry, image(f"{first}:1", of="first"), image(f"{first}:2", of="second"))

    def uploads(repository: str) -> int:
        return len(registry.requests("PATCH", f"/v2/missing/{repository}/"))

    ferry("push", f"{first}:1")
    assert uploads("one") == 2
    assert "Layer already exists" in ferry.text("push", f"{first}:2")
    assert uploads("one") == 3
    # Again: nothing is compressed or sent, and nothing new is kept here.
    before = sorted((path, path.stat().st_size) for path in ferry.root.rglob("*"))
    said = ferry.text("push", f"{first}:2")
    assert said.count("Layer already exists") == 2
    assert uploads("one") == 3
    assert before == sorted((path, path.stat().st_size) for path in ferry.root.rglob("*"))
    # Another repository of the registry takes over what it has already.
    ferry("tag", f"{first}:2", f"{second}:1")
    said = ferry.text("push", f"{second}:1")
    assert said.count("Mounted from missing/one") == 2
    assert uploads("two") == 0
    # And so it does of what was pulled.
    other = Ferry(tmp_path / "other")
    other("pull", f"{second}:1")
    other("tag", f"{second}:1", f"{registry.address}/missing/three:1")
    other("rmi", f"{second}:1")
    said = other.text("push", f"{registry.address}/missing/three:1")
    assert said.count("Mounted from missing/two") == 2


def test_a_pull_that_was_killed_goes_on(ferry: Ferry, registry: Registry, skopeo: Command) -> None:
    name = "killed/app:1"
    size = 6_000_000
    wanted = made(
        *(noise(f"killed {n}", size) for n in range(2)), names=[f"{registry.address}/{name}"]
    )
    loaded(ferry, wanted)
    ferry("push", "--compress", "none", f"{registry.address}/{name}")
    ferry("rmi", f"{registry.address}/{name}")
    whole = sum(map(len, wanted.layers))
    with between(registry) as line:
        line.most = 2_000_000
        pulling = ferry.popen("pull", f"{line.address}/{name}")
        deadline = time.monotonic() + 60
        while line.came < whole // 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(pulling.pid, signal.SIGKILL)
        pulling.communicate()
        there = sum(
            path.stat().st_size for path in (ferry.root / "partial").rglob("*") if path.is_file()
        )
        assert there > whole // 6
        assert not ferry.text("images", "-q")
        line.most, before = 0, line.came
        ferry("pull", f"{line.address}/{name}")
        # But for heads and small documents, it is what was missing.
        assert line.came - before < whole - there + 20_000
    assert in_ferry(ferry, f"{line.address}/{name}").id == wanted.id
    assert not [path for path in (ferry.root / "partial").rglob("*") if path.is_file()]
    ferry("system", "check", "--verify")


def test_a_pull_takes_no_more_than_the_image(ferry: Ferry, registry: Registry) -> None:
    name = f"{registry.address}/once/app:1"
    wanted = made(*(noise(f"once {n}", 3_000_000) for n in range(3)), names=[name])
    loaded(ferry, wanted)
    ferry("push", name)
    ferry("rmi", name)
    before = below.size(str(ferry.root))
    with between(registry) as line:
        line.most = 6_000_000
        pulling = ferry.popen("pull", name.replace(registry.address, line.address))
        most = 0
        while pulling.poll() is None:
            most = max(most, below.size(str(ferry.root)))
            time.sleep(0.01)
    assert pulling.returncode == 0
    after = below.size(str(ferry.root))
    # The samples saw it grow; the last of them may be from just before the end.
    assert before < after
    assert before + (after - before) // 2 < most < after + 100_000


def test_two_pulls_at_once_fetch_it_once(ferry: Ferry, registry: Registry) -> None:
    name = "twice/app:1"
    wanted = made(noise("twice", 4_000_000), names=[f"{registry.address}/{name}"])
    loaded(ferry, wanted)
    ferry("push", f"{registry.address}/{name}")
    ferry("rmi", f"{registry.address}/{name}")
    with between(registry) as line:
        line.most = 4_000_000
        pulls = [ferry.popen("pull", f"{line.address}/{name}") for _ in range(2)]
        for each in pulls:
            assert each.wait(60) == 0, each.communicate()
        assert line.came < 4_300_000
    assert in_ferry(ferry, f"{line.address}/{name}").id == wanted.id


def test_ctrl_c(ferry: Ferry, registry: Registry, interruptible: None) -> None:
    name = "ctrl/c:1"
    loaded(
        ferry, made(noise("ctrl c", 4_000_000), noise("c"), names=[f"{registry.address}/{name}"])
    )
    ferry("push", f"{registry.address}/{name}")
    ferry("rmi", f"{registry.address}/{name}")
    with between(registry) as line:
        line.most = 500_000
        pulling = ferry.popen("pull", "-q", f"{line.address}/{name}")
        deadline = time.monotonic() + 60
        while line.came < 500_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        pulling.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert pulling.wait(30) == 130
        assert time.monotonic() - begun < 3
        out, errors = pulling.communicate()
        assert out == b""
        assert b"Traceback" not in errors
    assert not ferry.text("images", "-q")


def _from(content: bytes, start: int) -> BytesStream:
    return BytesStream(content[start:])


def referring(subject: dict[str, Any], text: str) -> tuple[bytes, dict[str, bytes]]:
    """Return a signature's manifest, and its blobs."""
    empty, layer = b"{}", text.encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.signature",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": sha256(empty),
            "size": len(empty),
        },
        "layers": [{"mediaType": "text/plain", "digest": sha256(layer), "size": len(layer)}],
        "subject": subject,
        "annotations": {"made": text},
    }
    return json.dumps(manifest).encode(), {sha256(x): x for x in (empty, layer)}


def test_referrers_come_along(ferry: Ferry, registry: Registry, tmp_path: Path) -> None:
    from ferryman.image import reference, referrer
    from ferryman.image.digest import Digest
    from ferryman.image.manifest import OCI_MANIFEST, Descriptor
    from ferryman.registry import manifests, referrers, repository, upload

    name = f"{registry.address}/signed/app:1"
    loaded(ferry, image(name, of="signed"))
    ferry("push", name)
    with repository.opened(reference.parse(name), push=True) as found:
        target = manifests.get(found, "1")
        subject = {"mediaType": OCI_MANIFEST, "digest": target.digest, "size": len(target.content)}
        for _ in range(2):
            content, blobs = referring(subject, f"signature of {subject['digest']}")
            for digest, blob in blobs.items():
                upload.send(found, Digest(digest), len(blob), partial(_from, blob))
            put = manifests.put(found, sha256(content), content, OCI_MANIFEST)
            descriptor = Descriptor(OCI_MANIFEST, put.digest, len(content))
            said = referrer.described(content, descriptor)
            assert not put.subject  # this registry knows nothing of them
            referrers.announce(found, Digest(str(subject["digest"])), said)
            # And one that signs the signature.
            subject = {"mediaType": OCI_MANIFEST, "digest": put.digest, "size": len(content)}
        assert len(referrers.listed(found, target.digest)) == 1

    other = Ferry(tmp_path / "other")
    other("pull", "--referrers", name)
    assert len(other.text("images", "-aq").split()) == 1
    other("system", "check", "--verify")
    moved = f"{registry.address}/signed/moved:1"
    other("tag", name, moved)
    other("rmi", name)
    other("push", "--referrers", moved)
    with repository.opened(reference.parse(moved)) as found:
        (first,) = referrers.listed(found, target.digest)
        (second,) = referrers.listed(found, Digest(first.digest))
        assert first.artifact_type == "application/vnd.example.signature"
        assert second.annotations == {"made": f"signature of {first.digest}"}
    # With the last name of the image they go, too.
    other("rmi", moved)
    blobs_left = [path for path in (other.root / "image/blobs").rglob("*") if path.is_file()]
    assert not blobs_left


def signed_by_cosign(digest: str) -> tuple[bytes, dict[str, bytes]]:
    """Return a manifest as cosign writes it, which knows what it belongs to by its tag alone."""
    payload = json.dumps({"critical": {"image": {"docker-manifest-digest": digest}}}).encode()
    rootfs = {"type": "layers", "diff_ids": [sha256(payload)]}
    config = json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": rootfs}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": sha256(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                "digest": sha256(payload),
                "size": len(payload),
                "annotations": {"dev.cosignproject.cosign/signature": "MEUCIQ=="},
            }
        ],
    }
    return json.dumps(manifest).encode(), {sha256(x): x for x in (config, payload)}


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_signatures_cross_an_air_gap(
    ferry: Ferry,
    registry: Registry,
    tmp_path: Path,
    dockerd: Command,
    podman: Command,
    form: str,
) -> None:
    """Of cosign by their tag, of others by their subject; other engines load the image alone."""
    from ferryman.image import reference, referrer
    from ferryman.image.digest import Digest
    from ferryman.image.manifest import OCI_MANIFEST, Descriptor
    from ferryman.registry import manifests, referrers, repository, upload

    name = f"{registry.address}/signed/gap-{form}:1"
    wanted = image(name, of=f"gap {form}")
    loaded(ferry, wanted)
    ferry("push", name)
    with repository.opened(reference.parse(name), push=True) as found:
        target = manifests.get(found, "1")
        subject = {"mediaType": OCI_MANIFEST, "digest": target.digest, "size": len(target.content)}
        sbom, sbom_blobs = referring(subject, "an SBOM")
        signature, blobs = signed_by_cosign(target.digest)
        for digest, blob in (sbom_blobs | blobs).items():
            upload.send(found, Digest(digest), len(blob), partial(_from, blob))
        manifests.put(found, sha256(sbom), sbom, OCI_MANIFEST)
        described = Descriptor(OCI_MANIFEST, sha256(sbom), len(sbom))
        referrers.announce(found, target.digest, referrer.described(sbom, described))
        (tag, *_) = referrer.cosign_tags(target.digest)
        assert tag == f"sha256-{target.digest.encoded}.sig"
        manifests.put(found, tag, signature, OCI_MANIFEST)

    here = Ferry(tmp_path / "here")
    here("pull", "--referrers", name)
    assert len(here.text("images", "-aq").split()) == 1
    archive, bare = tmp_path / "with.tar", tmp_path / "without.tar"
    here("save", "--format", form, "--referrers", "-o", archive, name)
    here("save", "--format", form, "-o", bare, name)
    assert archive.stat().st_size > bare.stat().st_size
    here("verify", archive)

    there = Ferry(tmp_path / "there")
    assert there.text("load", "-i", archive) == f"Loaded image: {name}"
    assert len(there.text("images", "-aq").split()) == 1
    there("system", "check", "--verify")
    moved = f"{registry.address}/signed/there-{form}:1"
    there("tag", name, moved)
    there("rmi", name)
    there("push", "--referrers", moved)
    with repository.opened(reference.parse(moved)) as found:
        assert manifests.get(found, tag).content == signature
        (listed,) = referrers.listed(found, target.digest)
        assert manifests.get(found, listed.digest).content == sbom
    there("rmi", moved)
    assert not [path for path in (there.root / "image/blobs").rglob("*") if path.is_file()]

    # Loaded without them, there is nothing that could be pushed along.
    there("load", "-i", bare)
    assert len(list((there.root / "image/blobs/sha256").iterdir())) == 2 + len(wanted.diff_ids)
    if form == "docker":
        assert name in dockerd.text("load", "-i", str(archive))
        assert in_docker(dockerd, name).id == wanted.id
    flag = "docker-archive" if form == "docker" else "oci-archive"
    podman.run("pull", "-q", f"{flag}:{archive}:{name}")
    assert in_podman(podman, name).id.removeprefix("sha256:") == wanted.id[7:]


def test_no_tag_but_one_of_cosign_is_taken_from_an_archive(
    ferry: Ferry, registry: Registry, tmp_path: Path
) -> None:
    """Whoever writes an archive does not say what is overwritten at a registry."""
    name = f"{registry.address}/signed/hostile:1"
    parts: dict[str, Any] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    target = put_image(parts, image(name, of="hostile"))
    sbom, blobs = referring({k: target[k] for k in ("mediaType", "digest", "size")}, "an SBOM")
    for blob in blobs.values():
        put(parts, blob, "")
    tags = dict.fromkeys(("org.opencontainers.image.ref.name", "io.ferryman.tagged"), "latest")
    belonging = {**put(parts, sbom, str(target["mediaType"])), "annotations": tags}
    parts["index.json"] = index(named(target, name), belonging)
    ferry("load", input=packed(parts))
    assert len(ferry.text("images", "-aq").split()) == 1
    ferry("push", "--compress", "none", "--referrers", name)
    from ferryman.image import reference
    from ferryman.registry import repository

    with repository.opened(reference.parse(name)) as found:
        tags_there = set(repository.tags(found))
        assert tags_there == {"1", f"sha256-{target['digest'].partition(':')[2]}"}
