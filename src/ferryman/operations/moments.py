"""Moments as docker's ``--since``, ``--until`` and filters take them."""

import re
import time
from datetime import UTC, datetime

from ferryman.build import durations
from ferryman.errors import UsageError

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?)?"
    r"(?:([zZ])|([+-])(\d\d):(\d\d))?",
    re.ASCII,
)
_SECONDS = re.compile(r"(-?\d{1,12})(?:\.(\d{1,20}))?", re.ASCII)


def moment(text: str, flag: str, now: int | None = None) -> int:
    """Return a moment in nanoseconds since 1970.

    It is given as so long ago (``10m``, ``1h30m``), as a date with or without time and time zone
    (that of this machine when there is none), or in seconds since 1970.  Raises UsageError, which
    names the flag.
    """
    found = _parsed(text, now)
    if found is None:
        raise UsageError(
            f'invalid value for "{flag}": failed to parse value as time or duration: "{text}"'
        )
    return found


def until(text: str) -> float:
    """Return what the filter ``until=`` means, in seconds since 1970; raises UsageError."""
    found = _parsed(text, None)
    if found is None:
        raise UsageError(f'failed to parse value as time or duration: "{text}"')
    return found / 10**9


def _parsed(text: str, now: int | None) -> int | None:
    if text != "0":
        try:
            return (time.time_ns() if now is None else now) - durations.nanoseconds(text)
        except ValueError:
            pass  # then it is no duration
    try:
        if match := _TIME.fullmatch(text):
            return _of_date(match)
        if match := _SECONDS.fullmatch(text):
            return int(match[1]) * 10**9 + _fraction(match[2])
    except ValueError:
        pass  # the 30th of February
    return None


def _of_date(match: re.Match[str]) -> int:
    year, month, day, hour, minute, second = (int(match[i] or 0) for i in range(1, 7))
    naive = datetime(year, month, day, hour, minute, second)
    if match[8] or match[9]:
        offset = int(match[10] or 0) * 3600 + int(match[11] or 0) * 60
        seconds = naive.replace(tzinfo=UTC).timestamp() - (-offset if match[9] == "-" else offset)
    else:
        seconds = naive.timestamp()
    return int(seconds) * 10**9 + _fraction(match[7])


def _fraction(digits: str | None) -> int:
    return int((digits or "")[:9].ljust(9, "0"))
