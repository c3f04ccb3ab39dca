"""The types of a JSON document, as docker's client has them in Go.

Each is a function from JSON to a value; what is absent, or of another type, is the type's zero.
"""

from collections.abc import Callable
from typing import Any

from ferryman.cli.gotemplate.value import NIL, Duration, Map, Slice, Struct, Time

Type = Callable[[Any], Any]


def string(raw: Any) -> str:
    """Return a ``string``."""
    return raw if isinstance(raw, str) else ""


def integer(raw: Any) -> int:
    """Return an ``int`` or ``int64``."""
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else 0


def boolean(raw: Any) -> bool:
    """Return a ``bool``."""
    return raw is True


def duration(raw: Any) -> Duration:
    """Return a ``time.Duration``: in JSON, nanoseconds."""
    return Duration(integer(raw))


def time(raw: Any) -> Time:
    """Return a ``time.Time``: in JSON, RFC 3339."""
    return Time(string(raw) or "0001-01-01T00:00:00Z")


def slice_of(element: Type) -> Type:
    """Return the type ``[]element``."""

    def type(raw: Any) -> Slice:
        items = raw if isinstance(raw, list) else None
        return Slice([element(item) for item in items or ()], items)

    return type


def map_of(element: Type) -> Type:
    """Return the type ``map[string]element``."""

    def type(raw: Any) -> Map:
        items = raw if isinstance(raw, dict) else None
        return Map({k: element(v) for k, v in (items or {}).items()}, element(None), items)

    return type


def struct(name: str, /, **fields: Type) -> Type:
    """Return the struct type of this name, with fields in the order in which it prints them."""

    def type(raw: Any) -> Struct:
        document = raw if isinstance(raw, dict) else {}
        # Go does not mind how a key is capitalised.
        given = {key.lower(): value for key, value in document.items()}
        return Struct(
            name, {key: of(given.get(key.lower())) for key, of in fields.items()}, document
        )

    return type


def pointer(to: Type) -> Type:
    """Return the type ``*to``, which may be nil."""
    return lambda raw: NIL if raw is None else to(raw)
