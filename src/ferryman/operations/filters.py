"""``--filter key=value`` as docker's listings and prunes take it."""

from collections.abc import Callable, Collection, Mapping, Sequence

from ferryman.errors import InvalidFlag, UsageError
from ferryman.operations.moments import until

Chosen = Callable[[Mapping[str, str], float], bool]
"""Whether a prune is to look at something, by its labels and when it was made."""

LABELS = ("label", "label!")


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


def labelled(labels: Mapping[str, str], wanted: Sequence[str]) -> bool:
    """Tell whether there is every label that is wanted, by its key or as ``key=value``."""
    for text in wanted:
        key, equals, value = text.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def pruning(filters: Sequence[str], known: Collection[str] = (*LABELS, "until")) -> Chosen:
    """Return what the filters of a prune say; raises InvalidFlag, UsageError.

    As in docker, ``label!`` spares only what has all of the labels that it is given.
    """
    values = parsed(filters, known)
    moments = values.get("until", [])
    if len(moments) > 1:
        raise UsageError("more than one until filter specified")
    limit = until(moments[0]) if moments else None
    spared = values.get("label!")

    def chosen(labels: Mapping[str, str], created: float) -> bool:
        if spared and labelled(labels, spared):
            return False
        return labelled(labels, values.get("label", [])) and (limit is None or created < limit)

    return chosen
