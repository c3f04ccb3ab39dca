import pytest

from ferryman.cli.gotemplate.value import Duration, Time


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (100_000_000, "100ms"),
        (1_000_000_000, "1s"),
        (90_500_000_000, "1m30.5s"),
        (3_600_000_000_000, "1h0m0s"),
        (360_000_000_000_000, "100h0m0s"),
        (1_000_000_001, "1.000000001s"),
        (-5_000_000_000, "-5s"),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert str(Duration(nanoseconds)) == text
    assert Duration(nanoseconds).raw == nanoseconds


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2024-02-29T12:00:00Z", "2024-02-29 12:00:00 +0000 UTC"),
        ("2024-02-29T12:00:00.120Z", "2024-02-29 12:00:00.12 +0000 UTC"),
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC"),
        ("2024-02-29T12:00:00.5+02:00", "2024-02-29 12:00:00.5 +0200 +0200"),
    ],
)
def test_times(moment: str, text: str) -> None:
    assert str(Time(moment)) == text
    assert Time(moment).raw == moment
