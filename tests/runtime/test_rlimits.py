import resource

import pytest

from ferryman.runtime.rlimits import NAMES, raised
from ferryman.runtime.settings import InvalidSettings, Ulimit

UNLIMITED = 2**64 - 1


def test_as_asked() -> None:
    asked = [Ulimit("nofile", hard=2048, soft=1024), Ulimit("core", hard=-1, soft=0)]
    assert raised(asked, may_raise=True) == [
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 2048},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": UNLIMITED},
    ]


def test_no_more_than_can_be_had() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = {"type": "RLIMIT_NOFILE", "soft": hard, "hard": hard}
    for asked in (-1, 2**62):
        assert raised([Ulimit("nofile", asked, asked)], may_raise=False) == [most]
    assert raised([Ulimit("nofile", hard=-1, soft=10)], may_raise=False) == [most | {"soft": 10}]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name(name: str) -> None:
    (limit,) = raised([Ulimit(name, hard=0, soft=0)], may_raise=False)
    assert limit == {"type": f"RLIMIT_{name.upper()}", "soft": 0, "hard": 0}


def test_unknown() -> None:
    with pytest.raises(InvalidSettings, match="invalid ulimit type: as"):
        raised([Ulimit("as", 1, 1)], may_raise=True)
