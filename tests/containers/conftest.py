"""Containers as a user has them: ``ferry`` on a store with a small image of busybox."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ferry import Ferry
from tests.runtime.box import busybox_tree

IMAGE = "box:1"


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root filesystem with busybox and nothing else."""
    folder = tmp_path_factory.mktemp("busybox")
    tree = busybox_tree(folder / "tree")
    tar = folder / "busybox.tar"
    subprocess.run(["tar", "--numeric-owner", "-C", tree, "-cf", tar, "."], check=True)
    return tar


@pytest.fixture
def box(ferry: Ferry, busybox_tar: Path) -> Iterator[Ferry]:
    """A store with the image ``box:1``; whatever containers a test leaves there are removed."""
    for program in ("conmon", "runc", "busybox"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.getuid():
        pytest.skip("containers without user namespaces need root")
    ferry("import", "--change", 'CMD ["sh"]', "--change", "ENV PATH=/bin", busybox_tar, IMAGE)
    try:
        yield ferry
    finally:
        if left := ferry.text("ps", "--all", "--quiet").split():
            ferry("rm", "--force", "--volumes", *left)
