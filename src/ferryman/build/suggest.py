"""What a mistyped word may have been meant to be."""

from collections.abc import Sequence

_NEAR = 2  # letters to change, as docker has it


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return advice to be put behind an error about a word; empty where nothing is near."""
    distances = [(_distance(word.lower(), each.lower()), each) for each in known]
    near, best = min(distances, default=(_NEAR + 1, ""))
    if not 0 < near <= _NEAR:
        return ""
    return f" (did you mean {best.lower() if word.islower() else best}?)"


def _distance(left: str, right: str) -> int:
    """Return how many letters must be changed, added or removed (Levenshtein's distance)."""
    if abs(len(left) - len(right)) > _NEAR:
        return _NEAR + 1
    row = list(range(len(right) + 1))
    for n, a in enumerate(left, 1):
        last, row[0] = row[0], n
        for m, b in enumerate(right, 1):
            last, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, last + (a != b))
    return row[-1]
