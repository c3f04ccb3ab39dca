"""A real system of six layers, built by docker: there and back again with each of the peers."""

import json
from pathlib import Path

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.conftest import LAYERED
from tests.peers.engines import gone, in_archive, in_docker, in_ferry, in_podman

pytestmark = pytest.mark.peer


def runs(engine: Command, image: str) -> str:
    # podman leaves health checks to systemd, which need not be here.
    quiet = ("--rm", "--network", "none", "--no-healthcheck")
    return engine.text("run", *quiet, image, "again")


def test_docker_ferry_docker(
    dockerd: Command, layered_image: str, layered_tar: Path, ferry: Ferry, tmp_path: Path
) -> None:
    before = in_docker(dockerd, layered_image)
    assert len(before.layers) >= 5
    assert ferry.text("load", "-i", layered_tar) == f"Loaded image: {layered_image}"
    assert in_ferry(ferry, layered_image) == before

    ferry("save", "-o", tmp_path / "ferry.tar", layered_image)
    # The base goes too, or docker would not look at the layer that both have.
    dockerd.run("rmi", "--force", "ferry-test/base:1")
    with gone(dockerd, layered_image, back=layered_tar):
        said = dockerd.text("load", "-i", tmp_path / "ferry.tar")
        assert said.splitlines()[-1] == f"Loaded image: {layered_image}"
        assert in_docker(dockerd, layered_image) == before
        assert runs(dockerd, layered_image) == "moin moin, again"


def test_podman_ferry_podman(
    podman: Command, layered_tar: Path, ferry: Ferry, tmp_path: Path
) -> None:
    podman.run("load", "-i", layered_tar)
    before = in_podman(podman, LAYERED)
    podman.run("save", "-q", "-o", tmp_path / "podman.tar", LAYERED)
    ferry("load", "-i", tmp_path / "podman.tar")
    assert in_ferry(ferry, before.id) == before
    for form in ("docker", "oci"):
        podman.run("rmi", "--force", before.id)
        # podman gave it a name of its own machine's: that is how it is called here, too.
        ferry("save", "--format", form, "-o", tmp_path / "ferry.tar", *before.tags)
        podman.run("load", "-i", tmp_path / "ferry.tar")
        assert in_podman(podman, before.id) == before
    assert runs(podman, before.id) == "moin moin, again"
    podman.run("rmi", "--force", before.id)


def test_podmans_own_kind_of_image(podman: Command, ferry: Ferry, tmp_path: Path) -> None:
    """What podman builds has an OCI manifest: its digest is kept too, in an OCI archive."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY file /\nLABEL a=b\n")
    podman.run("build", "-t", "quay.io/ferry/own:1", tmp_path)
    before = in_podman(podman, "quay.io/ferry/own:1")
    podman.run("save", "-q", "--format", "oci-archive", "-o", tmp_path / "p.tar", before.id[7:])
    podman.run("save", "-q", "--format", "oci-dir", "-o", tmp_path / "p", "quay.io/ferry/own:1")
    ferry("load", "-i", tmp_path / "p.tar")
    assert in_ferry(ferry, before.id) == before.without_tags()
    ferry("load", "-i", tmp_path / "p")
    assert in_ferry(ferry, before.id) == before

    ferry("save", "--format", "oci", "-o", tmp_path / "f.tar", "quay.io/ferry/own:1")
    podman.run("rmi", "--force", before.id)
    podman.run("load", "-i", tmp_path / "f.tar")
    assert in_podman(podman, before.id) == before
    (described,) = json.loads(ferry.text("inspect", before.id))
    assert described["Descriptor"]["digest"] == podman.text(
        "image", "inspect", "--format", "{{.Digest}}", before.id
    )
    podman.run("rmi", "--force", before.id)


def test_skopeo_docker_archive(
    skopeo: Command, layered_tar: Path, ferry: Ferry, tmp_path: Path
) -> None:
    before = in_archive(skopeo, f"docker-archive:{layered_tar}:{LAYERED}")
    theirs = f"docker-archive:{tmp_path}/theirs.tar:{LAYERED}"
    skopeo.run("copy", f"docker-archive:{layered_tar}:{LAYERED}", theirs)
    ferry("load", "-i", tmp_path / "theirs.tar")
    assert in_ferry(ferry, LAYERED) == before._replace(tags=frozenset((LAYERED,)))

    ferry("save", "-o", tmp_path / "ours.tar", LAYERED)
    ours = f"docker-archive:{tmp_path}/ours.tar:{LAYERED}"
    assert in_archive(skopeo, ours) == before
    # To copy is to verify every layer.
    skopeo.run("copy", ours, f"dir:{tmp_path}/dir")


def test_skopeo_oci_compressed_and_everybody(
    dockerd: Command,
    podman: Command,
    skopeo: Command,
    umoci: Command,
    layered_image: str,
    layered_tar: Path,
    ferry: Ferry,
    tmp_path: Path,
) -> None:
    """skopeo compresses the layers; they stay so in the store, and all can read it."""
    theirs = f"oci-archive:{tmp_path}/theirs.tar:{LAYERED}"
    skopeo.run("copy", f"docker-archive:{layered_tar}:{LAYERED}", theirs)
    before = in_archive(skopeo, theirs)
    ferry("load", "-i", tmp_path / "theirs.tar")
    assert in_ferry(ferry, LAYERED) == before._replace(tags=frozenset((LAYERED,)))

    layout = ferry.root / "image"
    assert in_archive(skopeo, f"oci:{layout}:{LAYERED}") == before
    umoci.run("unpack", "--image", f"{layout}:{LAYERED}", tmp_path / "bundle")
    rootfs = tmp_path / "bundle/rootfs"
    assert (rootfs / "srv/bin/greet").stat().st_mode & 0o777 == 0o755
    assert [each.name for each in (rootfs / "srv/opaque").iterdir()] == ["new"]
    assert not (rootfs / "srv/gone").exists()

    ferry("save", "--format", "oci", "-o", tmp_path / "ours-oci.tar", LAYERED)
    ours = f"oci-archive:{tmp_path}/ours-oci.tar:docker.io/{LAYERED}"
    assert in_archive(skopeo, ours) == before
    ferry("save", "-o", tmp_path / "ours.tar", LAYERED)
    podman.run("load", "-i", tmp_path / "ours.tar")
    assert in_podman(podman, before.id).layers == before.layers
    podman.run("rmi", "--force", before.id)
    dockerd.run("rmi", "--force", "ferry-test/base:1")
    with gone(dockerd, layered_image, back=layered_tar):
        dockerd.run("load", "-i", tmp_path / "ours.tar")
        assert in_docker(dockerd, before.id).layers == before.layers
        assert runs(dockerd, before.id) == "moin moin, again"
        dockerd.run("rmi", "--force", before.id)
