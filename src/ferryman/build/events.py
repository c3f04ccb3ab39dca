"""What a build tells of itself while it goes on."""

from collections.abc import Callable
from typing import NamedTuple


class Began(NamedTuple):
    """A step is being done."""

    title: str


class Said(NamedTuple):
    """A step's command has written something: any bytes, not whole lines."""

    title: str
    text: bytes


class Ended(NamedTuple):
    """A step is done: after so many seconds, from the cache, or with an error."""

    title: str
    seconds: float
    cached: bool = False
    error: str = ""


Event = Began | Said | Ended
Tell = Callable[[Event], None]
"""Is told of events, by several threads at once."""
