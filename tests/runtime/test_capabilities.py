from collections.abc import Sequence

import pytest

from ferryman.runtime.capabilities import DEFAULT, NAMES, chosen, held, mask, number
from ferryman.runtime.settings import InvalidSettings

DOCKERS = 0xA80425FB
EVERY = (1 << 41) - 1


@pytest.mark.parametrize(
    ("add", "drop", "want"),
    [
        ([], [], DOCKERS),
        (["SYS_ADMIN"], [], DOCKERS | 1 << 21),
        (["CAP_SYS_ADMIN"], [], DOCKERS | 1 << 21),
        (["cap_sys_admin", "net_admin"], [], DOCKERS | 1 << 21 | 1 << 12),
        (["CHOWN"], [], DOCKERS),
        ([], ["CHOWN"], DOCKERS & ~1),
        ([], ["cap_chown", "Kill"], DOCKERS & ~(1 | 1 << 5)),
        ([], ["SYS_ADMIN"], DOCKERS),
        (["CHOWN"], ["CHOWN"], DOCKERS),
        (["ALL"], [], EVERY),
        (["all"], ["SYS_ADMIN"], EVERY & ~(1 << 21)),
        ([], ["ALL"], 0),
        (["CHOWN", "KILL"], ["ALL"], 1 | 1 << 5),
        (["ALL"], ["ALL"], EVERY),
    ],
)
def test_chosen(add: Sequence[str], drop: Sequence[str], want: int) -> None:
    assert mask(chosen(add, drop, available=NAMES)) == want


def test_privileged() -> None:
    assert mask(chosen(["CHOWN"], ["ALL"], privileged=True, available=NAMES)) == EVERY


def test_no_more_than_there_is() -> None:
    available = [name for name in NAMES if name not in ("CAP_SYS_RESOURCE", "CAP_KILL")]
    most = EVERY & ~(1 << 24 | 1 << 5)
    assert mask(chosen([], [], available=available)) == DOCKERS & ~(1 << 5)
    assert mask(chosen(["ALL"], [], available=available)) == most
    assert mask(chosen([], [], privileged=True, available=available)) == most
    # What is not there can be dropped all the same.
    assert mask(chosen([], ["SYS_RESOURCE"], available=available)) == DOCKERS & ~(1 << 5)


@pytest.mark.parametrize(
    ("add", "drop", "words"),
    [
        (["FOO"], [], 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        (["cap_foo"], [], 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ([""], [], 'invalid CapAdd: unknown capability: "CAP_"'),
        (["CAP_ALL"], [], 'invalid CapAdd: unknown capability: "CAP_ALL"'),
        ([], ["FOO"], 'invalid CapDrop: unknown capability: "CAP_FOO"'),
        (
            ["SYS_RESOURCE"],
            [],
            "invalid CapAdd: capability not supported by your kernel or not available in the "
            'current environment: "CAP_SYS_RESOURCE"',
        ),
    ],
)
def test_refused(add: Sequence[str], drop: Sequence[str], words: str) -> None:
    available = [name for name in NAMES if name != "CAP_SYS_RESOURCE"]
    with pytest.raises(InvalidSettings) as raised:
        chosen(add, drop, available=available)
    assert str(raised.value) == words


def test_numbers() -> None:
    assert mask(DEFAULT) == DOCKERS
    assert [number(name) for name in ("CAP_CHOWN", "CAP_SETFCAP", "CAP_BPF")] == [0, 31, 39]
    assert mask(held()) <= EVERY
