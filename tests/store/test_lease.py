import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ferryman.errors import StoreError
from ferryman.image import digest as digests
from ferryman.store.collect import recover
from ferryman.store.layout import Store
from ferryman.store.lease import Lease, collect_lock, hold, hold_if_writable, protected, reading
from ferryman.store.lock import locked, try_locked

ONE, TWO, THREE = (digests.of(text) for text in (b"1", b"2", b"3"))


@contextmanager
def holder(store: Store, *held: digests.Digest) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, with a lease on some blobs and an unfinished file."""
    program = """
import sys
from ferryman.store.layout import open_store
from ferryman.store.lease import hold
with hold(open_store(sys.argv[1])) as lease:
    lease.protect(sys.argv[2:])
    open(lease.path(), "w").write("unfinished")
    print(flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, store.root, *held],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_what_is_held_is_protected_until_the_end(here: Store) -> None:
    with hold(here) as first, hold(here) as second:
        first.protect([ONE, TWO])
        second.protect([TWO, THREE])
        second.protect([THREE])
        assert protected(here) == {ONE, TWO, THREE}
    assert protected(here) == set()
    assert os.listdir(here.leases) == []


def test_nothing_unfinished_outlives_its_lease(here: Store) -> None:
    def fail() -> None:
        with hold(here) as lease:
            Path(lease.path()).write_bytes(b"unfinished")
            Path(lease.path()).mkdir()
            assert os.listdir(here.tmp) == [os.path.basename(lease.folder)]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.listdir(here.tmp) == os.listdir(here.leases) == []


def test_paths_are_fresh(here: Store) -> None:
    with hold(here) as one, hold(here) as two:
        assert len({lease.path() for lease in (one, two) for _ in range(100)}) == 200


def test_what_another_process_holds_is_protected_and_left_alone(here: Store) -> None:
    with holder(here, ONE, TWO):
        assert protected(here) == {ONE, TWO}
        recover(here)
        assert protected(here) == {ONE, TWO}
        (unfinished,) = os.listdir(here.tmp)
        assert os.listdir(f"{here.tmp}/{unfinished}") != []


def test_what_a_killed_process_held_is_cleared_by_the_next_one(here: Store) -> None:
    with holder(here, ONE) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert protected(here) == set()
        assert os.listdir(here.tmp) != []
        recover(here)
    assert os.listdir(here.tmp) == os.listdir(here.leases) == []


def test_what_lies_about_in_tmp_is_cleared(here: Store) -> None:
    Path(here.tmp, "file").touch()
    Path(here.tmp, "folder/with").mkdir(parents=True)
    with hold(here) as lease:
        Path(lease.path()).touch()
        recover(here)
        assert os.listdir(here.tmp) == [os.path.basename(lease.folder)]


def test_a_damaged_lease_protects_what_can_be_read_of_it(here: Store) -> None:
    with hold(here) as lease:
        lease.protect([ONE])
        with open(f"{here.leases}/{os.path.basename(lease.folder)}", "ab") as f:
            f.write(b"\xff\nsha256:short\n" + TWO.encode() + b"\nsha256:")
        assert protected(here) == {ONE, TWO}


def test_a_full_disk_is_said_to_be_full(here: Store) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        lease = Lease(here, "name", full)
        with pytest.raises(StoreError, match=f"{here.root}: No space left on device"):
            lease.protect([ONE])
        assert lease.held == set()
    finally:
        os.close(full)


def test_a_lease_waits_for_the_collector(here: Store) -> None:
    """Between a collector's decision and what it does, nobody can come to rely on a blob."""
    done = threading.Event()

    def begin() -> None:
        with hold(here):
            done.set()

    waiting = threading.Thread(target=begin)
    with locked(collect_lock(here)):
        waiting.start()
        assert not done.wait(0.1)
        assert os.listdir(here.leases) == os.listdir(here.tmp) == []
    waiting.join()
    assert done.is_set()


def test_readers_keep_the_collector_away_and_not_each_other(here: Store) -> None:
    with reading(here), reading(here), hold(here) as lease:
        lease.protect([ONE])
        with try_locked(collect_lock(here)) as mine:
            assert not mine
    with try_locked(collect_lock(here)) as mine:
        assert mine


def test_a_store_that_cannot_be_written(here: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(here.leases)
    with pytest.raises(StoreError, match=f"cannot write to the store {here.root}"), hold(here):
        pytest.fail("held nothing")
    with hold_if_writable(here) as lease:
        assert lease is None
