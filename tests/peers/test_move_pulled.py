"""``ferry move`` of what a registry had: its layers are compressed here, and docker wants tars."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.hosts import Host, Network, Sender, host, network, with_docker
from tests.peers.registry import running

pytestmark = [pytest.mark.peer, pytest.mark.slow]

LARGE = 3 << 20
TWICE = 256 << 10


class Pulled(NamedTuple):
    """A store with two versions of an image, pulled; the upper layer of each is compressed."""

    ferry: Sender
    app: str
    form: str

    def name(self, version: int) -> str:
        return f"{self.app}:{version}"

    def layer(self, version: int) -> Path:
        """Return the blob of the upper layer."""
        manifest = json.loads(self.blob(self.inspected(version, "Descriptor.Digest")).read_text())
        return self.blob(manifest["layers"][-1]["digest"])

    def blob(self, digest: str) -> Path:
        return self.ferry.root / "image/blobs" / digest.replace(":", "/")

    def inspected(self, version: int, field: str) -> str:
        return self.ferry.text("inspect", "-f", f"{{{{.{field}}}}}", self.name(version))


@pytest.fixture(scope="module")
def hosts(private: Path) -> Iterator[Network]:
    with network(private / "pnet") as made:
        yield made


@pytest.fixture(scope="module", params=["gzip", "zstd"])
def pulled(
    request: pytest.FixtureRequest,
    hosts: Network,
    busybox_tar: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pulled]:
    form, folder = str(request.param), tmp_path_factory.mktemp("pulled")
    built, ferry = Ferry(folder / "built"), hosts.ferry(folder / "store")
    built("import", "-c", "ENV PATH=/bin", busybox_tar, "base:1")
    context = folder / "context"
    context.mkdir()
    with running(folder / "registry") as registry:
        app = f"{registry.address}/app"
        for version in (1, 2):
            # All comes twice: too far apart for gzip, and not for zstd.
            chosen = random.Random(1)
            large = bytearray(b"".join(chosen.randbytes(TWICE) * 2 for _ in range(LARGE // TWICE)))
            large[1_000_000:1_000_000] = b"changed" * version
            (context / "large").write_bytes(large)
            (context / "version").write_text(f"{version}\n")
            (context / "Dockerfile").write_text(
                'FROM base:1\nCOPY large version /\nCMD ["cat", "/version"]\n'
            )
            built("build", "-q", "-t", f"{app}:{version}", context)
            built("push", "-q", "--compress", form, f"{app}:{version}")
            Ferry(ferry.root)("pull", "-q", f"{app}:{version}")
        yield Pulled(ferry, app, form)


def moved(pulled: Pulled, made: Host, version: int, *flags: str) -> int:
    """Move a version, and return the bytes on the wire."""
    before = made.wire()
    pulled.ferry("move", "-q", *flags, pulled.name(version), made.name)
    return made.wire() - before


def runs(docker: Command, pulled: Pulled) -> None:
    """Run both versions, and see that they have the IDs that they have here; remove them."""
    for version in (1, 2):
        name = pulled.name(version)
        ours = pulled.inspected(version, "Id")
        assert docker.text("image", "inspect", "--format", "{{.Id}}", name) == ours
        assert docker.text("run", "--rm", "--network", "none", name) == str(version)
    docker.run("rmi", "--force", pulled.name(1), pulled.name(2))


def numbers(pulled: Pulled, number: int) -> int:
    """Return the number of a host that is one form's own."""
    return number + 3 * (pulled.form == "zstd")


def test_docker(pulled: Pulled, hosts: Network, private: Path) -> None:
    """gzip is all that docker undoes by itself: what is stored so goes as it is."""
    number = numbers(pulled, 2)
    with host(hosts, f"g{number}", number) as made:
        with with_docker(made, private / f"p{number}") as docker:
            assert moved(pulled, made, 1) > LARGE
            (plan,) = json.loads(
                pulled.ferry.text("move", "--dry-run", "--json", pulled.name(2), made.name)
            )
            said = plan["Images"][0]["Bytes"]
            second = moved(pulled, made, 2)
            if pulled.form == "gzip":
                # The archive's own documents, and ssh's.
                assert said - 100 < second < said * 1.02 + 60_000
            else:
                assert second < LARGE * 2.02 + 60_000
            assert moved(pulled, made, 2) < 60_000
            runs(docker, pulled)


def test_docker_with_zstd(pulled: Pulled, hosts: Network, private: Path) -> None:
    number = numbers(pulled, 3)
    with host(hosts, f"z{number}", number) as made:
        made.give("zstd")
        with with_docker(made, private / f"p{number}") as docker:
            assert moved(pulled, made, 1) > LARGE
            second, stored = moved(pulled, made, 2), pulled.layer(2).stat().st_size
            assert second < stored * (0.55 if pulled.form == "gzip" else 1.02) + 60_000
            runs(docker, pulled)


def test_docker_with_python(pulled: Pulled, hosts: Network, private: Path) -> None:
    """What is compressed here is a difference all the same; nothing stays behind."""
    number = numbers(pulled, 4)
    with host(hosts, f"y{number}", number) as made:
        made.give("python3")
        with with_docker(made, private / f"p{number}") as docker:
            assert moved(pulled, made, 1) > LARGE
            assert moved(pulled, made, 2) < 100_000 < LARGE / 10
            runs(docker, pulled)
            assert moved(pulled, made, 1) > LARGE
            assert moved(pulled, made, 2, "--no-delta") > LARGE
            runs(docker, pulled)
            assert not list((made.folder / "cache").rglob("*/*"))


@pytest.mark.parametrize(
    ("number", "programs"), [(8, ()), (14, ("zstd",)), (20, ("python3",))], ids=str
)
def test_damaged(
    pulled: Pulled, hosts: Network, private: Path, number: int, programs: tuple[str, ...]
) -> None:
    """A layer that is not what it should be any more: one error, and nothing there."""
    number = numbers(pulled, number)
    blob = pulled.layer(2)
    content = blob.read_bytes()
    spoiled = bytearray(content)
    spoiled[len(content) // 2] ^= 1
    try:
        blob.write_bytes(spoiled)
        with host(hosts, f"x{number}", number) as made:
            made.give(*programs)
            with with_docker(made, private / f"p{number}") as docker:
                moved(pulled, made, 1)
                done = pulled.ferry("move", pulled.name(2), made.name, check=False)
                assert done.returncode == 1
                (line,) = done.stderr.decode().splitlines()
                assert line.startswith("Error: ")
                assert "is damaged: run `ferry system check --repair`" in line
                assert docker.text("image", "ls", "-aq", "--filter", "dangling=true") == ""
                assert pulled.name(2) not in docker.text(
                    "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"
                )
                docker.run("rmi", "--force", pulled.name(1))
    finally:
        blob.write_bytes(content)
    assert os.listdir(pulled.ferry.root / "tmp") == []
