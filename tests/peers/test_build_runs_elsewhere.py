"""Every image of the tables, built by ferry: it loads and runs in docker and in podman."""

from pathlib import Path

import pytest

from tests.command import Command
from tests.peers.built import make_base, make_context
from tests.peers.engines import in_docker, in_ferry, in_podman
from tests.peers.test_build_buildkit import NEW
from tests.peers.test_build_docker import DOCKERFILES, IGNORED, text_of

pytestmark = [pytest.mark.peer, pytest.mark.slow]

# There is nothing in it that could be run.
BARE = {"scratch"}


def test_all(dockerd: Command, podman: Command, busybox_tar: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    make_context(context)
    (context / "setuid").touch(0o6755)
    ferry = make_base(dockerd, busybox_tar, tmp_path)
    dockerfiles = {name: text_of(name) for name in DOCKERFILES}
    for name, text in NEW.items():
        alone = text.startswith(("ARG v=base", "FROM"))
        dockerfiles[name] = text if alone else f"FROM base\n{text}\n"
    names = {}
    for number, (name, text) in enumerate(dockerfiles.items()):
        (context / "Dockerfile").write_text(text)
        (context / ".dockerignore").write_text(IGNORED.get(name, ""))
        names[name] = f"ferry-test/built:{number}"
        ferry("build", "-q", "--network", "none", "-t", names[name], context)
    archive = tmp_path / "all.tar"
    ferry("save", "-o", archive, *names.values())
    try:
        for engine, seen in ((dockerd, in_docker), (podman, in_podman)):
            engine.run("load", "-q", "-i", archive)
            for name, image in names.items():
                ours = in_ferry(ferry, image)
                theirs = seen(engine, image)
                assert (theirs.id, theirs.layers) == (ours.id, ours.layers), name
                if name in BARE:
                    engine.run("rm", engine.text("create", image))
                    continue
                flags = ("run", "--rm", "--network", "none", "--user", "0", "--no-healthcheck")
                inside = engine.text(*flags, "--entrypoint", "/bin/cat", image, "/etc/passwd")
                assert inside == "root:x:0:0::/root:/bin/sh", name
    finally:
        for engine in (dockerd, podman):
            engine.run("rmi", "--force", *names.values(), check=False)
