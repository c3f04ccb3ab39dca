"""``kill -9`` in the midst of load and import, at moments spread over all that they do.

Whenever it comes, the store is whole, the name stands for what it stood for before or for the new
image, and the next command clears up: nothing unfinished and no blob without a name is left.
"""

import gzip
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ferryman.image.digest import Digest
from ferryman.store import blobs
from ferryman.store.check import check
from ferryman.store.collect import garbage
from ferryman.store.images import find
from ferryman.store.layout import Store, open_store
from tests.ferry import Ferry
from tests.images import docker_archive, layout, load_into, made, member, packed, tar_of
from tests.workers import Worker, workers

pytestmark = pytest.mark.slow

NAME = "app:1"
KILLS = 50  # of each of the four commands below
OLD = made(tar_of(member("old", b"old")), names=[NAME])


class Case(NamedTuple):
    """A command to be killed, and whether an image is the one that it makes."""

    command: list[str]
    is_new: Callable[[Store, Digest], bool]


def tree(seed: int, files: int) -> bytes:
    chance = random.Random(seed)
    return tar_of(*(member(f"{i}", chance.randbytes(1 << 16)) for i in range(files)))


@pytest.fixture(params=["load", "load gzip", "import", "import gzip"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    what, _, packing = request.param.partition(" ")
    path = tmp_path / "input"
    layers = [tree(i, 200 if what == "import" else 120) for i in range(3)]
    image = made(*layers, names=[NAME])
    parts = layout(image, compression="gzip") if packing else docker_archive(image)
    content = packed(parts) if what == "load" else layers[0]
    path.write_bytes(gzip.compress(content, 1) if packing else content)
    if what == "load":
        return Case(["load", "-q", "-i", str(path)], lambda _, id: id == image.id)
    return Case(
        ["import", "-q", str(path), NAME],
        lambda store, _: find(store, NAME).config.diff_ids == image.diff_ids[:1],
    )


@pytest.fixture
def worker() -> Iterator[Worker]:
    with workers(1) as (one,):
        yield one


def started(ferry: Ferry, store: Store, command: list[str]) -> subprocess.Popen[bytes]:
    """Start the command, and return when it has begun to work on the store."""
    process = ferry.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.listdir(store.leases) and process.poll() is None:
        time.sleep(0.0005)
    return process


def duration(ferry: Ferry, store: Store, command: list[str]) -> float:
    """Return the seconds that the command works on the store, undisturbed."""
    process = started(ferry, store, command)
    begun = time.monotonic()
    assert process.wait() == 0
    return time.monotonic() - begun


def killed(process: subprocess.Popen[bytes], after: float) -> bool:
    """Kill the process, and tell whether it was still alive."""
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_kill(case: Case, here: Store, ferry: Ferry, worker: Worker) -> None:
    chance = random.Random(case.command[0])
    load_into(here, docker_archive(OLD))
    span = max(duration(ferry, here, case.command) for _ in range(3))
    in_the_midst = before = 0
    # One moment in each of as many parts of the whole time, in no order.
    moments = [(i + chance.random()) / KILLS for i in range(KILLS)]
    chance.shuffle(moments)
    for i, moment in enumerate(moments):
        reset(here)
        was_alive = killed(started(ferry, here, case.command), moment * span)
        if not was_alive:
            span *= 0.9  # the machine has less to do now than when the time was taken
        in_the_midst += was_alive and bool(os.listdir(here.tmp))

        image = find(here, NAME)
        is_new = case.is_new(here, image.id)
        assert is_new or image.id == OLD.id
        assert is_new or was_alive
        before += not is_new
        assert check(here, verify=True).faults == ()
        if i % 10 == 0:
            said = ferry.text("system", "check", "--verify", "--quiet")
            assert said.endswith("The store is clean")

        worker.begin("--root", here.root, *case.command)
        assert (ran := worker.end()).code == 0, ran
        assert case.is_new(here, find(here, NAME).id)
        assert os.listdir(here.tmp) == os.listdir(here.leases) == []
        assert garbage(here) == {}
    assert in_the_midst > KILLS / 4
    assert before > KILLS / 4
    assert check(here, verify=True).faults == ()


def reset(store: Store) -> None:
    """Take the new image away and give the name back to the old one."""
    from ferryman.operations.remove import prune

    load_into(store, docker_archive(OLD))
    prune(store, lambda image: image.id == OLD.id)
    assert len(list(blobs.present(store))) == 3


def test_kill_while_the_store_is_made(tmp_path: Path) -> None:
    chance = random.Random(3)
    for i in range(20):
        ferry = Ferry(tmp_path / f"store-{i}")
        process = ferry.popen("images", stdout=subprocess.DEVNULL)
        while not ferry.root.exists() and process.poll() is None:
            time.sleep(0.0002)
        killed(process, chance.uniform(0, 0.01))
        store = open_store(str(ferry.root))
        assert check(store).faults == ()
        load_into(store, docker_archive(OLD))
        assert find(store, NAME).id == OLD.id
