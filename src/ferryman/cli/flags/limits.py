"""Flags about how much a container gets: ``512m``, ``1.5`` processors, ``nofile=1024:2048``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ferryman.build.durations import nanoseconds
from ferryman.build.words import quoted
from ferryman.cli.flags.grammar import integer
from ferryman.runtime.rlimits import NAMES
from ferryman.runtime.settings import RestartPolicy, Ulimit

if TYPE_CHECKING:
    from fractions import Fraction

_UNITS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_NUMBER_ENDS = "0123456789. "


def memory(text: str) -> int:
    """Return a number of bytes: ``512m``, ``1.5GiB``, ``64 kb``, in powers of 1024.

    Raises ValueError in docker's words.
    """
    end = max(text.rfind(character) for character in _NUMBER_ENDS)
    if end < 0:
        raise ValueError(f"invalid size: '{text}'")
    number = text[: end + 1].removesuffix(" ")
    suffix = text[end + 1 :].lower()
    size = _fraction(number)
    if size is None:
        raise ValueError(f"strconv.ParseFloat: parsing {quoted(number)}: invalid syntax")
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    unit = suffix.removesuffix("ib") if len(suffix) == 3 else suffix.removesuffix("b")
    if unit not in _UNITS or (len(suffix) == 3 and not unit):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return min(int(size * 2 ** _UNITS[unit]), 2**63 - 1)


def swap(text: str) -> int:
    """Return a number of bytes, or -1 for no limit; raises ValueError."""
    return -1 if text == "-1" else memory(text)


def processors(text: str) -> int:
    """Return processors in thousand-millionths: ``1.5`` is 1,500,000,000; raises ValueError."""
    number = _fraction(text)
    if number is None:
        raise ValueError(f"failed to parse {text} as a rational number")
    nano = number * 10**9
    if nano.denominator != 1:
        raise ValueError("value is too precise")
    return int(nano)


def _fraction(text: str) -> "Fraction | None":
    from fractions import Fraction

    if len(text) > 40 or "_" in text or text != text.strip():
        return None
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    # Beyond that it is a mistake, and arithmetic with it takes long.
    return number if abs(number) < 2**64 else None


def ulimit(text: str) -> Ulimit:
    """Return ``NAME=SOFT[:HARD]``; -1 is without limit; raises ValueError in docker's words."""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in NAMES:
        raise ValueError(f"invalid ulimit type: {name}")
    given = limits.split(":")
    if len(given) > 2:
        raise ValueError(
            f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
        )
    hard, soft = integer(given[-1]), integer(given[0])
    if hard != -1 and (soft == -1 or soft > hard):
        found = f"soft: -1 (unlimited), hard: {hard}" if soft == -1 else f"{soft} > {hard}"
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {found}")
    return Ulimit(name, hard=hard, soft=soft)


def ulimits(given: Sequence[Ulimit]) -> list[Ulimit]:
    """Return the last one of each name, sorted."""
    last = {each.name: each for each in given}
    return [last[name] for name in sorted(last)]


def restart_policy(text: str) -> RestartPolicy:
    """Return ``NAME[:RETRIES]``; raises ValueError in docker's words."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    try:
        retries = integer(count) if count else 0
    except ValueError:
        raise ValueError(
            "invalid restart policy format: maximum retry count must be an integer"
        ) from None
    return RestartPolicy(name or "no", retries)


def duration(text: str) -> int:
    """Return nanoseconds of ``1m30s``; raises ValueError in docker's words."""
    return nanoseconds(text)
