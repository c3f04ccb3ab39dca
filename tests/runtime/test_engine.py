"""The OCI runtime as it is called: what has been begun is brought to its end."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferryman.runtime import record
from tests.containers.test_life import until
from tests.runtime.box import Box, busybox_tree, need_containers


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    need_containers()
    made = Box(tmp_path / "store", busybox_tree(tmp_path / "tree"))
    yield made
    made.close()


def test_paused_by_who_is_killed(box: Box) -> None:
    container = box.start("sh", "-c", "while :; do echo on; sleep 0.01; done")
    log = Path(record.folder(box.store, container.id), "log")
    until(lambda: log.stat().st_size)
    done, told = os.pipe()
    child = os.fork()
    if not child:
        with box.engine(container).paused(container.id):
            os.write(told, b"paused")
            signal.pause()
    try:
        assert os.read(done, 100) == b"paused"
        before = log.stat().st_size
        time.sleep(0.2)
        assert log.stat().st_size == before
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    until(lambda: log.stat().st_size > before)
