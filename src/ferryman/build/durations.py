"""Durations as Go programs write them: ``1m30s``, ``1.5h``, ``300ms``."""

import re

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_TERM = re.compile(r"([0-9]*)\.?([0-9]*)([^.0-9]*)")
_LARGEST = 2**63 - 1


def nanoseconds(text: str) -> int:
    """Return a duration in nanoseconds; raises ValueError in the words of Go's time package."""
    terms = text[1:] if text.startswith(("+", "-")) else text
    if terms == "0":
        return 0
    total = at = 0
    while at < len(terms) or not terms:
        term = _TERM.match(terms, at)
        # More digits than these do not fit, or do not count.
        if not term or not term[1] + term[2] or len(term[1].lstrip("0")) > 19:
            raise ValueError(f"time: invalid duration {_quoted(text)}")
        whole, fraction, unit = term[1][-19:], term[2][:18], term[3]
        if not unit:
            raise ValueError(f"time: missing unit in duration {_quoted(text)}")
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}")
        total += int(whole or 0) * _UNITS[unit]
        total += int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
        at = term.end()
    if total > _LARGEST:
        raise ValueError(f"time: invalid duration {_quoted(text)}")
    return -total if text.startswith("-") else total


def _quoted(text: str) -> str:
    """Return a text in double quotes as that package has it: in bytes, where it is not ASCII."""
    return '"' + "".join(map(_byte, text.encode())) + '"'


def _byte(byte: int) -> str:
    if not 0x20 <= byte < 0x80:
        return f"\\x{byte:02x}"
    return f"\\{chr(byte)}" if chr(byte) in '"\\' else chr(byte)


def text(nanoseconds: int) -> str:
    """Write a duration as Go does: ``1m30s``, ``1.5s``, ``300ms``, ``0s``."""
    if not nanoseconds:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    size = abs(nanoseconds)
    for unit, length in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if size < 1000 * length:
            return f"{sign}{_decimal(size, length)}{unit}"
    minutes, rest = divmod(size, _UNITS["m"])
    written = f"{_decimal(rest, _UNITS['s'])}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        written = (f"{hours}h" if hours else "") + f"{minutes}m{written}"
    return sign + written


def _decimal(size: int, length: int) -> str:
    whole, rest = divmod(size, length)
    digits = str(rest).rjust(len(str(length)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
