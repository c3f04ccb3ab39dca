"""The functions that templates may call: Go's own, and those that docker adds."""

import operator
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from ferryman.cli.gotemplate import printing
from ferryman.cli.gotemplate.errors import CallError
from ferryman.cli.gotemplate.value import (
    Map,
    Nil,
    Slice,
    Struct,
    is_nil,
    kind,
    truth,
    type_name,
)


class Function(NamedTuple):
    """A function and the types of its parameters; the last one may stand for any number."""

    call: Callable[..., Any]
    parameters: tuple[str, ...]
    variadic: bool = False


def json(value: Any) -> str:
    """Write JSON as Go does: the keys of maps sorted, those of structs in their order."""
    document = getattr(value, "raw", value)
    try:
        encoded = msgspec.json.encode(
            document, enc_hook=str, order="sorted" if document is value else None
        ).decode()
    except UnicodeEncodeError:
        # Half a character, cut off by truncate or slice.
        from json import dumps

        encoded = dumps(document, ensure_ascii=False, separators=(",", ":"))
        encoded = re.sub("[\ud800-\udfff]", r"\\ufffd", encoded)
    characters = (
        "<>&\u2028\u2029" if isinstance(value, Struct) and value.escaped else "\u2028\u2029"
    )
    return re.sub(f"[{characters}]", lambda found: f"\\u{ord(found[0]):04x}", encoded)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None:
            raise CallError("index of untyped nil")
        if isinstance(value, Nil):
            raise CallError("index of nil pointer")
        if isinstance(value, dict):
            value = _entry(value, key)
        elif isinstance(value, list | str):
            items = value if isinstance(value, list) else _bytes(value)
            at = _position(key, len(items))
            if at == len(items):
                raise CallError(f"index out of range: {at}")
            value = items[at]
        else:
            raise CallError(f"can't index item of type {type_name(value)}")
    return value


def _entry(value: dict[str, Any], key: Any) -> Any:
    if key is None:
        raise CallError("value is nil; should be of type string")
    if not isinstance(key, str):
        raise CallError(f"value has type {type_name(key)}; should be string")
    return value.get(key, value.zero if isinstance(value, Map) else None)


def _position(key: Any, most: int) -> int:
    if kind(key) != "int":
        what = "nil" if key is None else f"type {type_name(key)}"
        raise CallError(f"cannot index slice/array with {what}")
    if not 0 <= key <= most:
        raise CallError(f"index out of range: {key}")
    return int(key)


def _slice(value: Any, *bounds: Any) -> Any:
    if value is None:
        raise CallError("slice of untyped nil")
    if len(bounds) > 3:
        raise CallError(f"too many slice indexes: {len(bounds)}")
    if not isinstance(value, list | str):
        raise CallError(f"can't slice item of type {type_name(value)}")
    if isinstance(value, str) and len(bounds) == 3:
        raise CallError("cannot 3-index slice a string")
    items = value if isinstance(value, list) else _bytes(value)
    places = [_position(bound, len(items)) for bound in bounds]
    for one, next_one in pairwise(places):
        if one > next_one:
            raise CallError(f"invalid slice index: {one} > {next_one}")
    start, end = (*places, *(0, len(items))[len(places) :])[:2]
    part = items[start:end]
    return _text(part) if isinstance(part, bytes) else Slice(part, part)


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(_bytes(value))
    if isinstance(value, dict | list):
        return len(value)
    if value is None:
        raise CallError("reflect: call of reflect.Value.Type on zero Value")
    raise CallError(
        "len of nil pointer" if isinstance(value, Nil) else f"len of type {type_name(value)}"
    )


def _eq(one: Any, *others: Any) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    return any(_same(one, other) for other in others)


def _same(one: Any, other: Any) -> bool:
    if kind(one) != kind(other):
        if one is not None and other is not None:
            raise CallError("incompatible types for comparison")
        return False
    if kind(one):
        return bool(one == other)
    if is_nil(one) or is_nil(other):
        return is_nil(one) and is_nil(other)
    raise CallError(f"non-comparable type {printing.text(other)}: {type_name(other)}")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def function(one: Any, other: Any) -> bool:
        if kind(one) in ("", "bool") or not kind(other):
            raise CallError("invalid type for comparison")
        if kind(one) != kind(other):
            raise CallError("incompatible types for comparison")
        return compare(one, other)

    return function


def _join(items: Any, separator: str) -> str:
    if items is None:
        return ""
    if isinstance(items, dict):
        return separator.join(sorted(map(printing.text, items.values())))
    if isinstance(items, list):
        return separator.join(map(printing.text, items))
    raise CallError(f"expected slice, got {type_name(items)}")


def _split(text: str, separator: str) -> Slice:
    parts = text.split(separator) if separator else list(text)
    return Slice(parts, parts)


def _title(text: str) -> str:
    return re.sub(r"(?<!\w)\w", lambda found: _letters(found[0], str.upper), text)


def _letters(text: str, change: Callable[[str], str]) -> str:
    """Change letter by letter, as Go does: one never becomes two."""
    return "".join(c if len(changed := change(c)) != 1 else changed for c in text)


def _pad(text: str, before: int, after: int) -> str:
    if not text:
        return text
    if before < 0 or after < 0:
        raise CallError("strings: negative Repeat count")
    if max(before, after) > printing.MOST:
        raise CallError("too much to pad")
    return " " * before + text + " " * after


def _truncate(text: str, length: int) -> str:
    content = _bytes(text)
    if length < 0:
        raise CallError(f"runtime error: slice bounds out of range [:{length}]")
    return _text(content[:length])


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


_ANY = "interface {}"
# "and" and "or" look at no more arguments than they need: see Template.
FUNCTIONS = {
    "and": Function(lambda *values: values[-1], (_ANY, _ANY), variadic=True),
    "or": Function(lambda *values: values[-1], (_ANY, _ANY), variadic=True),
    "not": Function(lambda value: not truth(value), (_ANY,)),
    "eq": Function(_eq, (_ANY, _ANY), variadic=True),
    "ne": Function(lambda one, other: not _same(one, other), (_ANY, _ANY)),
    "lt": Function(_ordered(operator.lt), (_ANY, _ANY)),
    "le": Function(_ordered(operator.le), (_ANY, _ANY)),
    "gt": Function(_ordered(operator.gt), (_ANY, _ANY)),
    "ge": Function(_ordered(operator.ge), (_ANY, _ANY)),
    "index": Function(_index, (_ANY, _ANY), variadic=True),
    "slice": Function(_slice, (_ANY, _ANY), variadic=True),
    "len": Function(_len, (_ANY,)),
    "print": Function(lambda *values: printing.spaced(values), (_ANY,), variadic=True),
    "println": Function(
        lambda *values: " ".join(map(printing.text, values)) + "\n", (_ANY,), variadic=True
    ),
    "printf": Function(
        lambda form, *values: printing.formatted(form, values), ("string", _ANY), variadic=True
    ),
    "json": Function(json, (_ANY,)),
    "join": Function(_join, (_ANY, "string")),
    "split": Function(_split, ("string", "string")),
    "lower": Function(lambda text: _letters(text, str.lower), ("string",)),
    "upper": Function(lambda text: _letters(text, str.upper), ("string",)),
    "title": Function(_title, ("string",)),
    "pad": Function(_pad, ("string", "int", "int")),
    "truncate": Function(_truncate, ("string", "int")),
}

OF_HEADERS = {
    name: FUNCTIONS[name]._replace(call=lambda word, *_: word)
    for name in ("json", "join", "split", "lower", "upper", "title", "truncate")
}
