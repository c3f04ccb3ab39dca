"""Values as Go's fmt package writes them."""

import re
from collections.abc import Sequence
from typing import Any

from ferryman.cli.gotemplate.errors import CallError
from ferryman.cli.gotemplate.value import Nil, Struct, kind, type_name

# Go's own limit of a width or precision.
MOST = 1_000_000
_VERB = re.compile(r"%([-+# 0]*)([0-9]*)(\.[0-9]*)?(.?)", re.DOTALL)


def text(value: Any) -> str:
    """Write a value: ``map[a:1]``, ``[x y]``, ``true``, ``<nil>``."""
    if value is None or isinstance(value, Nil):
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, Struct):
        return "{" + " ".join(map(text, value.fields.values())) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(text, value)) + "]"
    return str(value)


def spaced(values: Sequence[Any]) -> str:
    """Write values one after the other, with spaces where neither side is a string."""
    written = ""
    for i, value in enumerate(values):
        if i and not isinstance(value, str) and not isinstance(values[i - 1], str):
            written += " "
        written += text(value)
    return written


def _shortest(value: float) -> str:
    """Write the fewest digits that mean this number."""
    digits = next(d for n in range(18) if float(d := f"{value:.{n}e}") == value)
    plain = -4 <= int(digits.partition("e")[2]) < 6
    return repr(value).removesuffix(".0") if plain else digits


def formatted(form: str, values: Sequence[Any]) -> str:
    """Write values by the verbs of ``printf``; wrong ones are told in the text, as Go does it."""
    pending = list(values)

    def verb(found: re.Match[str]) -> str:
        flags, width, precision, letter = found.groups()
        if letter == "%":
            return "%"
        if not letter:
            return "%!(NOVERB)"
        if max(len(width), len(precision or "")) > 7 or int(width or 0) > MOST:
            raise CallError(f"width of %{letter} is too large")
        if not pending:
            return f"%!{letter}(MISSING)"
        digits = None if precision is None else int(precision[1:] or 0)
        value = pending.pop(0)
        written = _written(value, letter, flags, digits)
        if written is None:
            typed = "<nil>" if value is None else f"{type_name(value)}={text(value)}"
            return f"%!{letter}({typed})"
        if "-" in flags:
            return written.ljust(int(width or 0))
        if "0" in flags and kind(value) in ("int", "float64"):
            return written.zfill(int(width or 0))
        return written.rjust(int(width or 0))

    written = _VERB.sub(verb, form)
    if pending:
        extra = ", ".join(f"{type_name(v)}={text(v)}" for v in pending)
        written += f"%!(EXTRA {extra})"
    return written


def _written(value: Any, letter: str, flags: str, precision: int | None) -> str | None:
    """Write one value by one verb, or give None where the verb is none for its type."""
    sign = "+" if "+" in flags else " " if " " in flags else ""
    basic = kind(value)
    if letter == "T":
        return type_name(value)
    if letter == "v" or (letter == "s" and value is not None and basic in ("", "string")):
        written = text(value)
        return written[:precision] if letter == "s" else written
    if letter == "q" and basic == "string":
        return _quoted(value)
    if letter == "q" and basic == "int" and 0 <= value < 0x110000:
        return f"'{_quoted(chr(value))[1:-1]}'"
    if letter in "xX" and basic == "string":
        written = str(value).encode(errors="surrogateescape").hex()
        return written if letter == "x" else written.upper()
    if letter in "dxXob" and basic == "int":
        return format(int(value), f"{sign}{'#' if '#' in flags and letter in 'xX' else ''}{letter}")
    if letter == "c" and basic == "int" and 0 <= value < 0x110000:
        return chr(value)
    if letter == "t" and basic == "bool":
        return text(value)
    if letter in "eEfFgG" and basic == "float64":
        if letter in "gG" and precision is None:
            return _shortest(value)
        return format(value, f"{sign}.{6 if precision is None else precision}{letter}")
    return None


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in escaped) + '"'
