"""``--filter key=value`` as docker's listings take it."""

from collections.abc import Collection, Sequence

from ferryman.errors import InvalidFlag, UsageError


def parsed(filters: Sequence[str], known: Collection[str]) -> dict[str, list[str]]:
    """Return the values of each key; raises InvalidFlag, and UsageError for an unknown key."""
    found: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise InvalidFlag(
                f'invalid argument "{text}": bad format of filter (expected name=value)'
            )
        if key not in known:
            raise UsageError(f"invalid filter '{key}'")
        found.setdefault(key, []).append(value.strip())
    return found
