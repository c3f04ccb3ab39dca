"""Many commands on one store at once, round after round (issue: "the store is real").

What is allowed, precisely.  A load always succeeds.  A prune always succeeds.  `rmi` and `save`
succeed, or say that there is no such image: it may not be there at that moment.  What `save` has
written is the whole image, every byte of it.  Nothing else, on any output.  Whenever nobody is at
work, the store is whole and nothing unfinished lies about in it; what a `save` still held when an
`rmi` wanted to remove it waits for the next prune.
"""

import gzip
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from ferryman.store.check import check
from ferryman.store.images import all_images, find
from ferryman.store.layout import Store
from tests.ferry import Ferry
from tests.images import Made, check_archive, docker_archive, layout, made, member, packed, tar_of
from tests.workers import Ran, together, workers

pytestmark = pytest.mark.slow

NAME = "app:1"
ROUNDS, REAL_ROUNDS = 180, 20
LONGEST_DELAY = 0.02  # seconds: about as long as a command takes


class Archives(NamedTuple):
    """One image in several forms, and another that shares a layer with it."""

    forms: list[Path]
    other: Path
    image: Made


@pytest.fixture
def archives(tmp_path: Path) -> Archives:
    shared = tar_of(member("shared", random.Random(1).randbytes(3 << 20)))
    image = made(shared, *(tar_of(member(f"{i}", b"x" * i)) for i in range(4)), names=[NAME])
    other = made(shared, tar_of(member("other")), names=["other:1"])
    plain, with_gzip = packed(docker_archive(image)), packed(layout(image, compression="gzip"))
    contents = [plain, with_gzip, gzip.compress(plain, 1)]
    forms = [tmp_path / f"form-{i}" for i in range(len(contents))]
    for path, content in zip(forms, contents, strict=True):
        path.write_bytes(content)
    (tmp_path / "other").write_bytes(packed(docker_archive(other)))
    return Archives(forms, tmp_path / "other", image)


def commands(root: Path, archives: Archives, out: Path, chance: random.Random) -> list[list[str]]:
    """Return what runs in one round, shuffled."""
    one = str(chance.choice(archives.forms))
    prune = chance.choice([["system", "prune"], ["image", "prune"], ["image", "prune", "-a"]])
    chosen = [
        ["load", "-q", "-i", one],
        ["load", "-q", "-i", chance.choice([one, one, str(archives.other)])],
        ["rmi", NAME],
        [*prune, "--force"],
        ["save", "-q", "-o", str(out), NAME],
    ]
    chance.shuffle(chosen)
    return [["--root", str(root), *command] for command in chosen]


def check_round(ran: Sequence[Ran], out: Path, archives: Archives) -> None:
    for arguments, code, stdout, stderr in ran:
        command = arguments[2]
        if command in ("rmi", "save") and code:
            assert (code, stdout, stderr) == (1, "", f"Error: No such image: {NAME}\n"), arguments
        else:
            assert (code, stderr) == (0, ""), arguments
        if command == "load":
            assert stdout in (f"Loaded image: {NAME}\n", "Loaded image: other:1\n")
        if command == "save":
            assert out.exists() == (code == 0)
            if not code:
                check_archive(out.read_bytes(), archives.image)
                out.unlink()


def check_store(store: Store) -> None:
    assert check(store, verify=True).faults == ()
    assert os.listdir(store.tmp) == os.listdir(store.leases) == []


def test_loads_removals_prunes_and_saves_at_once(
    store: Path, archives: Archives, tmp_path: Path
) -> None:
    chance = random.Random(20)
    out = tmp_path / "out"
    ended: dict[tuple[str, int], int] = {}
    with workers(5) as processes:
        for _ in range(ROUNDS):
            chosen = commands(store, archives, out, chance)
            delays = [chance.uniform(0, LONGEST_DELAY) for _ in chosen]
            ran = together(processes, *zip(delays, chosen, strict=True))
            check_round(ran, out, archives)
            check_store(Store(str(store)))
            for each in ran:
                key = each.arguments[2], each.code
                ended[key] = ended.get(key, 0) + 1
    # Neither all nor none: the rounds have met each other's images in the midst of changes.
    for command in ("rmi", "save"):
        assert ended[command, 0] > ROUNDS // 20
        assert ended[command, 1] > ROUNDS // 20
    check_end(Ferry(store), archives)


def test_the_same_with_processes_that_start_anew(
    ferry: Ferry, archives: Archives, tmp_path: Path
) -> None:
    chance = random.Random(21)
    out = tmp_path / "out"
    for _ in range(REAL_ROUNDS):
        chosen = commands(ferry.root, archives, out, chance)
        started = [ferry.popen(*arguments[2:]) for arguments in chosen]
        outputs = [process.communicate(timeout=60) for process in started]
        ran = [
            Ran(arguments, process.returncode, stdout.decode(), stderr.decode())
            for arguments, process, (stdout, stderr) in zip(chosen, started, outputs, strict=True)
        ]
        check_round(ran, out, archives)
        check_store(Store(str(ferry.root)))
    check_end(ferry, archives)


def test_two_loads_of_one_archive_into_a_new_store(archives: Archives, tmp_path: Path) -> None:
    """The first command of all, twice: it makes the store too."""
    for i in range(10):
        ferry = Ferry(tmp_path / f"new-{i}")
        both = [ferry.popen("load", "-i", archives.forms[i % 2]) for _ in range(2)]
        for process in both:
            assert process.communicate(timeout=60) == (f"Loaded image: {NAME}\n".encode(), b"")
            assert process.returncode == 0
        check_store(Store(str(ferry.root)))
        assert [image.id for image in all_images(Store(str(ferry.root)))] == [archives.image.id]


def check_end(ferry: Ferry, archives: Archives) -> None:
    """After all that the store is as good as new, and nothing too much is in it."""
    store = Store(str(ferry.root))
    ferry("load", "-i", archives.forms[0])
    assert find(store, NAME).id == archives.image.id
    check_archive(ferry("save", NAME).stdout, archives.image)
    ferry("system", "prune", "--all", "--force")
    report = check(store, verify=True)
    assert (report.faults, report.garbage, report.verified) == ((), {}, 0)
