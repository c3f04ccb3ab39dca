"""The peers that other tests lean on are real and do what they are asked to."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.command import Command

pytestmark = pytest.mark.peer


def test_docker_runs_the_layered_image(dockerd: Command, layered_image: str) -> None:
    said = dockerd.text("run", "--rm", "--network", "none", layered_image, "docker")
    assert said == "moin moin, docker"


def test_docker_keeps_to_its_folder(dockerd: Command, private: Path) -> None:
    info = json.loads(dockerd.text("info", "--format", "{{json .}}"))
    assert info["DockerRootDir"] == str(private / "docker/data")
    assert info["Driver"] in {"overlay2", "vfs"}


def test_layered_image_has_what_is_hard_to_carry(layered_tar: Path) -> None:
    kinds: set[str] = set()
    with tarfile.open(layered_tar) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or pytest.fail("no manifest"))
        layers = manifest[0]["Layers"]
        for name in layers[1:]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                for member in layer:
                    kinds |= set(kinds_of(member))
    assert len(layers) >= 5
    assert kinds >= {
        "whiteout", "opaque", "hardlink", "symlink", "setuid", "capability", "fifo", "device",
        "not UTF-8",
    }  # fmt: skip


def kinds_of(member: tarfile.TarInfo) -> list[str]:
    name = member.name.rpartition("/")[2]
    found = {
        "opaque": name == ".wh..wh..opq",
        "whiteout": name.startswith(".wh.") and not name.startswith(".wh..wh."),
        "hardlink": member.islnk(),
        "symlink": member.issym(),
        "setuid": bool(member.mode & 0o4000),
        "capability": "SCHILY.xattr.security.capability" in member.pax_headers,
        "fifo": member.isfifo(),
        "device": member.ischr(),
        "not UTF-8": any(0xDC80 <= ord(c) <= 0xDCFF for c in name),
    }
    return [kind for kind, there in found.items() if there]


def test_podman_loads_and_runs_what_docker_saved(
    dockerd: Command, podman: Command, layered_image: str, layered_tar: Path
) -> None:
    podman.run("load", "-i", layered_tar)
    there = podman.text("image", "inspect", "--format", "{{.Id}}", layered_image)
    assert f"sha256:{there}" == dockerd.text("inspect", "--format", "{{.Id}}", layered_image)
    # podman leaves health checks to systemd, which need not be here.
    quiet = ("--rm", "--network", "none", "--no-healthcheck")
    said = podman.text("run", *quiet, layered_image, "podman")
    assert said == "moin moin, podman"


def test_buildah_sees_what_it_pulled(buildah: Command, layered_tar: Path) -> None:
    buildah.run("pull", f"docker-archive:{layered_tar}")
    assert len(json.loads(buildah.text("images", "--json"))) == 1


def test_skopeo_and_umoci_agree_on_a_layout(
    skopeo: Command, umoci: Command, layered_tar: Path, tmp_path: Path
) -> None:
    skopeo.run("copy", f"docker-archive:{layered_tar}", f"oci:{tmp_path}/layout:layered")
    layers = json.loads(skopeo.text("inspect", f"oci:{tmp_path}/layout:layered"))["Layers"]
    history = json.loads(umoci.text("stat", "--json", "--image", f"{tmp_path}/layout:layered"))
    assert len(layers) == sum(not entry.get("empty_layer", False) for entry in history["history"])
