import signal

import pytest

from ferryman.runtime.settings import InvalidSettings
from ferryman.runtime.signals import number


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("9", 9),
        ("KILL", 9),
        ("sigkill", 9),
        ("SIGTERM", 15),
        ("winch", 28),
        ("RTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("rtmax-1", signal.SIGRTMAX - 1),
        ("64", 64),
    ],
)
def test_signals(text: str, want: int) -> None:
    assert number(text) == want


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-9", "FOO", "SIG", "RTMIN-1", "RTMIN+99", "RTMAX+1", "²", "9" * 5000]
)
def test_none(text: str) -> None:
    with pytest.raises(InvalidSettings, match="invalid signal"):
        number(text)
