"""``ferry import`` makes of a container's files what ``docker import`` makes of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command
from tests.ferry import Ferry
from tests.peers.engines import in_docker, in_ferry

pytestmark = pytest.mark.peer

# All that docker 20 takes, too: STOPSIGNAL came later.
CHANGES = (
    "CMD python3 -V",
    'ENTRYPOINT ["/bin/sh", "-c"]',
    'CMD ["python3 -V"]',
    "ENV A=1 B='two words' PATH=/usr/bin:/bin",
    "ENV C three words here",
    "EXPOSE 80 53/udp 8000-8002",
    'LABEL plain=yes "größe"="ganz groß"',
    "USER 0:0",
    'VOLUME ["/data", "/more data"]',
    "WORKDIR /srv",
    "WORKDIR deeper",
    "ONBUILD RUN true",
    "HEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD python3 -V",
)


@pytest.fixture(scope="module")
def exported(
    dockerd: Command, layered_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What ``docker export`` writes of a container."""
    tar = tmp_path_factory.mktemp("export") / "container.tar"
    container = dockerd.text("create", layered_image)
    dockerd.run("export", "-o", tar, container)
    dockerd.run("rm", container)
    return tar


def described(engine: Command | Ferry, image: str) -> dict[str, Any]:
    (found,) = json.loads(engine.text("image", "inspect", image))
    assert isinstance(found, dict)
    return found


def test_import_as_docker(dockerd: Command, exported: Path, ferry: Ferry, tmp_path: Path) -> None:
    changes = [word for change in CHANGES for word in ("--change", change)]
    theirs = dockerd.text("import", *changes, "-m", "a message", exported, "ferry-test/theirs:1")
    ours = ferry.text("import", *changes, "-m", "a message", exported, "ferry-test/ours:1")
    assert ours == in_ferry(ferry, "ferry-test/ours:1").id
    assert in_ferry(ferry, ours).layers == in_docker(dockerd, theirs).layers

    there, here = described(dockerd, theirs), described(ferry, ours)
    for key in ("Config", "Architecture", "Os", "Comment", "Author", "Parent"):
        assert here[key] == there[key]
    dockerd.run("rmi", theirs)

    ferry("save", "-o", tmp_path / "ours.tar", "ferry-test/ours:1")
    dockerd.run("load", "-i", tmp_path / "ours.tar")
    assert in_docker(dockerd, ours) == in_ferry(ferry, ours)
    assert described(dockerd, ours)["Config"] == there["Config"]
    said = dockerd.text("run", "--rm", "--network", "none", ours)
    assert said.startswith("Python 3.")
    dockerd.run("rmi", ours)


def test_import_from_a_pipe(dockerd: Command, exported: Path, ferry: Ferry) -> None:
    with exported.open("rb") as stdin:
        ours = ferry("import", "-", stdin=stdin).stdout.decode().strip()
    with exported.open("rb") as stdin:
        theirs = dockerd.run("import", "-", stdin=stdin).stdout.decode().strip()
    here, there = described(ferry, ours), described(dockerd, theirs)
    dockerd.run("rmi", theirs)
    assert here["RepoTags"] == there["RepoTags"] == []
    assert here["Comment"] == there["Comment"] == "Imported from -"
    for key in ("Config", "RootFS"):
        assert here[key] == there[key]


def test_config_from_gives_back_what_export_loses(
    dockerd: Command, layered_image: str, exported: Path, ferry: Ferry, layered_tar: Path
) -> None:
    ferry("load", "-i", layered_tar)
    ferry("import", "--config-from", layered_image, exported, "again:1")
    there, here = described(dockerd, layered_image), described(ferry, "again:1")
    # Which container and image it was made in is nothing of a container's settings.
    assert here["Config"] == there["Config"]
