"""How an operation tells how far it has come."""

from collections.abc import Callable

Progress = Callable[[str, str, int, int], None]
"""Called with a subject (twelve characters of a digest, or a file's name), what is being done to
it ("Loading layer"), the bytes done so far and the bytes in all (0 when that is not known).
Several threads may call it at once."""

Tell = Callable[[str, str], None]
"""Called with a subject (a tag, twelve characters of a layer's digest) and what became of it, as
docker says it.  Several threads may call it at once."""


def silent(subject: str, action: str, done: int, total: int) -> None:
    """Take no notice of progress."""


def counter(progress: Progress, subject: str, action: str, total: int) -> Callable[[int], None]:
    """Return a function that adds up the pieces it is told of and passes the sum on."""
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        progress(subject, action, done, total)

    return advance


def untold(subject: str, words: str) -> None:
    """Take no notice."""
