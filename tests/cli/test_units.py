import pytest

from ferryman.cli.units import binary_size, human_duration, human_size

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600


@pytest.mark.parametrize(
    ("size", "digits", "text"),
    [
        (0, 3, "0B"),
        (1, 3, "1B"),
        (999, 3, "999B"),
        (1000, 3, "1kB"),
        (1015, 3, "1.01kB"),
        (1015, 4, "1.015kB"),
        (72_849_234, 3, "72.8MB"),
        (999_950, 3, "1e+03kB"),  # as docker has it
        (5_000_000_000, 3, "5GB"),
        (2e24, 3, "2YB"),
        (2e27, 3, "2e+03YB"),
    ],
)
def test_sizes(size: float, digits: int, text: str) -> None:
    assert human_size(size, digits) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (585_728, "572KiB"), (25_276_000_000, "23.54GiB")],
)
def test_sizes_in_powers_of_1024(size: float, text: str) -> None:
    assert binary_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (MINUTE, "About a minute"),
        (2 * MINUTE - 1, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (1.49 * HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (2.5 * HOUR, "3 hours"),
        (47.4 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (14 * DAY - HOUR, "13 days"),
        (14 * DAY - 10 * MINUTE, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
        (1000 * DAY, "2 years"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
