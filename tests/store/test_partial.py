"""Blobs that have been begun: one writer at a time, found again, and cleared when old."""

import os
import threading
import time

import pytest

from ferryman.errors import Interrupted
from ferryman.image.digest import Digest
from ferryman.store import blobs, partial
from ferryman.store.layout import Store
from ferryman.store.lease import hold
from tests.images import sha256

BLOB = b"all of a blob"
DIGEST = Digest(sha256(BLOB))


def begun(here: Store, stop: threading.Event | None = None) -> partial.Partial:
    with hold(here) as lease:
        found = partial.begin(lease, DIGEST, len(BLOB), stop or threading.Event())
    assert found
    return found


def test_what_was_begun_is_found(here: Store) -> None:
    first = begun(here)
    assert first.size == 0
    os.write(first.fd, BLOB[:5])
    first.close()
    again = begun(here)
    assert again.size == 5
    os.write(again.fd, BLOB[5:])
    again.close()
    with hold(here) as lease:
        lease.protect([DIGEST])
        partial.adopt(lease, DIGEST)
        assert blobs.read(here, DIGEST, 100) == BLOB
        assert partial.begin(lease, DIGEST, len(BLOB), threading.Event()) is None
        # Another was faster: that is as good.
        partial.adopt(lease, DIGEST)
    assert partial.size(here) == 0


def test_what_is_too_long_begins_anew(here: Store) -> None:
    first = begun(here)
    os.write(first.fd, BLOB + b"more")
    first.close()
    assert begun(here).size == 0


def test_one_writes_at_a_time(here: Store) -> None:
    first = begun(here)
    os.write(first.fd, BLOB[:5])
    found: list[partial.Partial] = []
    waiting = threading.Thread(target=lambda: found.append(begun(here)))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    first.close()
    waiting.join(10)
    assert found[0].size == 5


def test_whoever_waits_can_be_stopped(here: Store) -> None:
    first = begun(here)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Interrupted):
        begun(here, stop)
    first.close()


def test_what_is_whole_is_shared(here: Store) -> None:
    first = begun(here)
    os.write(first.fd, BLOB)
    first.share()
    second = begun(here)
    assert second.size == len(BLOB)
    first.close()
    second.close()


def test_only_what_is_old_and_unused_goes(here: Store) -> None:
    first = begun(here)
    os.write(first.fd, BLOB)
    path = first.path
    assert partial.prune(here) == 0
    long_ago = time.time() - 2 * partial.OLD
    os.utime(path, (long_ago, long_ago))
    assert partial.prune(here) == 0  # somebody is at it
    first.share()
    assert partial.prune(here) == 0
    first.close()
    assert partial.size(here) == len(BLOB)
    assert partial.prune(here) == len(BLOB)
    assert not os.path.exists(path)
    assert partial.prune(here) == 0


def test_what_died_is_not_cleared_with_its_lease(here: Store) -> None:
    from ferryman.store.collect import collect

    first = begun(here)
    os.write(first.fd, BLOB[:5])
    first.close()
    collect(here)
    assert begun(here).size == 5
