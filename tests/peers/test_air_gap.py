"""A site that no network reaches, with nothing but docker: what it lacks, and no more."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archives import docker_25, names_in, packed
from tests.command import Command
from tests.ferry import Ferry
from tests.images import folder, made, member, tar_of

pytestmark = pytest.mark.peer

BELOW = [
    tar_of(folder("gap"), member(f"gap/{name}", name.encode() * 50_000)) for name in ("low", "mid")
]
BASE = made(*BELOW, names=["gap/base:1"])
APP = made(*BELOW, tar_of(member("gap/top", b"top")), names=["gap/app:2"])


@pytest.fixture(params=["dockerd", "buildkit", "docker_in_containerd"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Command]:
    """A docker that has the base: of version 20.10, a newer one, and one with another store."""
    docker: Command = request.getfixturevalue(request.param)
    (tmp_path / "base.tar").write_bytes(packed(docker_25(BASE)))
    docker.run("load", "-i", tmp_path / "base.tar")
    yield docker
    docker.run("rmi", "--force", "gap/app:2", "gap/base:1", check=False)


def test_a_delta_by_what_docker_says_it_has(site: Command, ferry: Ferry, tmp_path: Path) -> None:
    listing = site.run("image", "inspect", *site.text("image", "ls", "-q").split()).stdout
    (tmp_path / "listing.json").write_bytes(listing)
    # The base, too: where docker only tells the digest of its manifest, that is known here.
    (tmp_path / "app.tar").write_bytes(packed(docker_25(APP, BASE)))
    ferry("load", "-i", tmp_path / "app.tar")
    delta = tmp_path / "delta.tar"
    ferry("save", "--base", tmp_path / "listing.json", "-o", delta, "gap/app:2")
    blobs = {name.rpartition("/")[2] for name in names_in(delta.read_bytes())}
    assert blobs & {diff_id[7:] for diff_id in APP.diff_ids} == {APP.diff_ids[-1][7:]}

    # By volumes, which plain tools check and join.
    ferry("save", "--base", tmp_path / "listing.json", "--split", "4k", "-o", delta, "gap/app:2")
    subprocess.run(["sha256sum", "--check", "--quiet", f"{delta}.sha256"], cwd=tmp_path, check=True)
    volumes = sorted(tmp_path.glob("delta.tar.0*"))
    joined = subprocess.run(["cat", *volumes], check=True, stdout=subprocess.PIPE).stdout
    assert joined == delta.read_bytes()
    said = site.run("load", input=joined).stdout.decode()
    assert said.splitlines()[-1] == "Loaded image: gap/app:2"
    shown = site.text("image", "inspect", "-f", "{{json .RootFS.Layers}}", "gap/app:2")
    assert json.loads(shown) == APP.diff_ids
    # It is all there: docker gives the layers back as they were.
    (tmp_path / "back.tar").write_bytes(site.run("save", "gap/app:2").stdout)
    site.run("rmi", "gap/app:2")
    back = Ferry(tmp_path / "back")
    back("load", "-i", tmp_path / "back.tar")
    assert back.text("images", "-q", "--no-trunc") == APP.id


def test_docker_without_the_base_refuses(dockerd: Command, ferry: Ferry, tmp_path: Path) -> None:
    (tmp_path / "app.tar").write_bytes(packed(docker_25(APP, BASE)))
    ferry("load", "-i", tmp_path / "app.tar")
    ferry("save", "--base", "gap/base:1", "-o", tmp_path / "delta.tar", "gap/app:2")
    assert dockerd.run("load", "-i", tmp_path / "delta.tar", check=False).returncode == 1
    assert dockerd.text("images", "-q", "gap/app") == ""
