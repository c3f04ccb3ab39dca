"""What templates work on: JSON values, and values of Go's types.

A JSON document as it stands (in Go: a ``map[string]interface {}``) is plain dicts and lists.  What
the docker client decodes into a type of its own also knows the fields that the document leaves
out, and what stands for nothing in each place; :mod:`.schema` makes such values.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Struct(NamedTuple):
    """A value with a fixed set of fields."""

    type: str
    """Go's name of the type, for errors."""
    fields: Mapping[str, Any]
    raw: Any
    """The JSON that it was made from."""
    escaped: bool = False
    """Whether its JSON has ``<``, ``>`` and ``&`` escaped, as docker's lists have."""


class Map(dict[str, Any]):
    """A map that has something to give for keys that are not there."""

    def __init__(self, items: Mapping[str, Any], zero: Any, raw: Any) -> None:
        """Take the items, what an absent one is, and the JSON (None for a nil map)."""
        super().__init__(items)
        self.zero = zero
        self.raw = raw


class Slice(list[Any]):
    """A list of Go's strings or structs."""

    def __init__(self, items: list[Any], raw: Any) -> None:
        """Take the items and the JSON (None for a nil slice)."""
        super().__init__(items)
        self.raw = raw


class Duration(int):
    """A length of time in nanoseconds."""

    @property
    def raw(self) -> int:
        """What it is in JSON."""
        return int(self)

    def __str__(self) -> str:
        whole, rest = divmod(abs(self), 10**9)
        if not whole:
            size, unit = next(u for u in _SMALL if rest >= u[0] or u[0] == 1)
            text = f"{rest / size:.9f}".rstrip("0").rstrip(".") + unit if rest else "0s"
        else:
            minutes, seconds = divmod(whole, 60)
            hours, minutes = divmod(minutes, 60)
            text = f"{seconds}.{rest:09}".rstrip("0").rstrip(".") + "s"
            if hours:
                text = f"{hours}h{minutes}m{text}"
            elif minutes:
                text = f"{minutes}m{text}"
        return f"-{text}" if self < 0 else text


_SMALL = ((10**6, "ms"), (10**3, "µs"), (1, "ns"))


class Time(str):
    """A moment, in RFC 3339."""

    __slots__ = ()

    @property
    def raw(self) -> str:
        """What it is in JSON."""
        return self[:]

    def __str__(self) -> str:
        """Write it as Go prints times."""
        day, _, rest = self.partition("T")
        zone = "Z" if self.endswith("Z") else self[-6:]
        clock, dot, fraction = rest.removesuffix(zone).partition(".")
        fraction = fraction.rstrip("0")
        named = "+0000 UTC" if zone == "Z" else f"{zone.replace(':', '')} {zone.replace(':', '')}"
        return f"{day} {clock}{dot if fraction else ''}{fraction} {named}"


class Nil:
    """A nil pointer to a struct."""

    raw = None

    def __bool__(self) -> bool:
        return False


NIL = Nil()


def is_nil(value: Any) -> bool:
    """Tell whether this is nothing, of whatever type."""
    return value is None or (isinstance(value, Map | Slice | Nil) and value.raw is None)


def truth(value: Any) -> bool:
    """Tell what ``if`` makes of a value: a struct is always true, all others unless empty."""
    return isinstance(value, Struct) or bool(value)


def kind(value: Any) -> str:
    """Return the kind of a basic type, by which values may be compared; else nothing."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    return "string" if isinstance(value, str) else ""


def type_name(value: Any) -> str:
    """Return Go's name of a value's type."""
    if isinstance(value, Struct):
        return value.type
    if isinstance(value, dict):
        return "map[string]string" if isinstance(value, Map) else "map[string]interface {}"
    if isinstance(value, list):
        return "[]string" if isinstance(value, Slice) else "[]interface {}"
    return kind(value) or "<nil>"
