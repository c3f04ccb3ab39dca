"""Containers on a machine of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import Machine, machine


@pytest.fixture
def alone(tmp_path: Path, busybox_tar: Path) -> Iterator[Machine]:
    """A machine on which nothing but this test is, with the image ``box:1``."""
    with machine(tmp_path / "store") as ferry:
        ferry("import", "--change", "ENV PATH=/bin", busybox_tar, "box:1")
        yield ferry
