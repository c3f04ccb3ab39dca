"""Which images are here: filtered and sorted as ``docker images`` does it."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ferryman.errors import UsageError
from ferryman.image.config import moment
from ferryman.image.reference import Reference
from ferryman.operations.filters import labelled
from ferryman.operations.filters import parsed as parsed_filters
from ferryman.operations.moments import until
from ferryman.store import images
from ferryman.store.images import Image, all_images, find
from ferryman.store.layout import Store
from ferryman.store.lease import reading

_KEYS = ("before", "dangling", "label", "label!", "reference", "since", "until")


class Row(NamedTuple):
    """One image under one of its names, or under none."""

    image: Image
    name: Reference | None
    size: int
    """The bytes of its layers when uncompressed."""


def listed(
    store: Store,
    *,
    references: Sequence[str] = (),
    filters: Sequence[str] = (),
) -> list[Row]:
    """Return the images, the newest first, one row a name.

    `filters` are ``key=value`` with the keys before, since (an image), dangling (true, false),
    label (key or key=value, all must match), label! (none may match), reference (a pattern, one
    must match), until (a time, or so long ago); `references` are further patterns.  Raises
    InvalidFlag, UsageError, ImageNotFound, StoreError.
    """
    with reading(store):
        found = all_images(store)
        parsed = parsed_filters(filters, _KEYS)
        tests = [_test(store, key, values) for key, values in parsed.items() if key in _TESTS]
        patterns = [*references, *parsed.get("reference", [])]
        rows = [
            Row(image, name, images.size(store, image))
            for image in found
            if all(test(image) for test in tests)
            for name in _names(image, patterns)
        ]
    return sorted(rows, key=lambda row: (-_made(row.image), _sort_name(row)))


def _sort_name(row: Row) -> str:
    return row.name.canonical if row.name else "~"


def _names(image: Image, patterns: Sequence[str]) -> Sequence[Reference | None]:
    # A digest by which an image was pulled is a row of its own only where nothing else names it.
    tagged = {name.name for name in image.names if name.tag}
    names = [name for name in image.names if name.tag or name.name not in tagged]
    if not patterns:
        return names or (None,)
    return [name for name in names if any(matches(name, p) for p in patterns)]


_TESTS = ("before", "dangling", "label", "label!", "since", "until")


def _test(store: Store, key: str, values: Sequence[str]) -> Callable[[Image], bool]:
    if key == "dangling":
        wanted = {_boolean(value) for value in values}
        return lambda image: (not image.names) in wanted
    if key == "label":
        return lambda image: labelled(image.config.labels, values)
    if key == "label!":
        return lambda image: not any(labelled(image.config.labels, [value]) for value in values)
    if key == "until":
        limit = min(until(value) for value in values)
        return lambda image: _made(image) < limit
    others = [_made(find(store, value)) for value in values]
    if key == "before":
        return lambda image: all(_made(image) < other for other in others)
    return lambda image: all(_made(image) > other for other in others)


def _made(image: Image) -> float:
    return moment(image.config.created)


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise UsageError(f"invalid filter 'dangling={text}'")


def matches(name: Reference, pattern: str) -> bool:
    """Tell whether a name is meant by a pattern, as ``docker images PATTERN`` has it.

    Stars stop at slashes; the pattern is held against the name with and without its tag.
    """
    form = _pattern(pattern)
    return any(form.fullmatch(text) for text in (name.familiar, name.familiar_name))


def _pattern(pattern: str) -> re.Pattern[str]:
    """Translate the patterns of Go's path.Match."""
    result = ""
    i = 0
    while i < len(pattern):
        character = pattern[i]
        i += 1
        if character == "*":
            result += "[^/]*"
        elif character == "?":
            result += "[^/]"
        elif character == "[":
            end = pattern.find("]", i + 1)
            if end < 0:
                raise UsageError(f"invalid reference filter {pattern!r}: syntax error in pattern")
            inside = re.sub(r"([\[\]&~|\\])", r"\\\1", pattern[i:end])
            result += f"[{inside}]"
            i = end + 1
        elif character == "\\" and i < len(pattern):
            result += re.escape(pattern[i])
            i += 1
        else:
            result += re.escape(character)
    try:
        return re.compile(result)
    except re.error:
        raise UsageError(f"invalid reference filter {pattern!r}: syntax error in pattern") from None
