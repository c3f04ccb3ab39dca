import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ferryman.store.lock import locked, take, try_locked


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


@pytest.fixture
def descriptors(path: str) -> Iterator[list[int]]:
    """Two openings of one file, as two processes would have them."""
    opened = [os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2)]
    yield opened
    for fd in opened:
        os.close(fd)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_who_may_be_there_with_whom(
    descriptors: list[int], first: bool, second: bool, together: bool
) -> None:
    one, two = descriptors
    assert take(one, shared=first)
    assert take(two, shared=second) == together


def test_locked_waits_for_its_turn(path: str) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(path):
            order.append("second")

    with locked(path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_shared_do_not_wait_for_each_other(path: str) -> None:
    with locked(path, shared=True), locked(path, shared=True), try_locked(path) as mine:
        assert not mine


def test_a_lock_ends_with_its_block_whatever_happens(path: str) -> None:
    with pytest.raises(ZeroDivisionError), locked(path):
        _ = 1 / 0
    with try_locked(path) as mine, try_locked(path) as mine_again:
        assert (mine, mine_again) == (True, False)


def test_no_descriptor_is_left_open(path: str) -> None:
    before = os.listdir("/proc/self/fd")
    with ExitStack() as stack:
        stack.enter_context(locked(path))
        stack.enter_context(try_locked(path))
    assert os.listdir("/proc/self/fd") == before


def test_a_lock_where_none_can_be(tmp_path: Path) -> None:
    with pytest.raises(OSError), locked(str(tmp_path / "no/such/folder")):
        pytest.fail("locked nothing")
