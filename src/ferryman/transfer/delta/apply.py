"""Undo a delta with ferry's own types and errors."""

from collections.abc import Callable
from typing import Protocol

from ferryman.errors import InvalidArchive
from ferryman.image.digest import Digest, parse
from ferryman.transfer.delta import undo
from ferryman.transfer.delta.undo import Region

OpenBase = Callable[[Digest], Region | None]
"""Gives where the uncompressed tar of a diff ID lies, or None: a blob, a member of an archive."""


class Input(Protocol):
    """Where a delta is read from; fewer bytes than were asked for are not yet the end."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes, none at the end."""


def apply(
    delta: Input, open_base: OpenBase, write: Callable[[bytes], object], what: str = "the delta"
) -> Digest:
    """Undo a delta, and return the diff ID of what was written.

    `delta` is read to its end and no further; `write` takes each piece whole.  What was written is
    good only once this has returned: its digest has been checked by then.  Whether it is the layer
    that was wanted is for the caller to see.  Raises InvalidArchive, with `what` as its subject,
    and OSError as reading and writing do.
    """

    def find(diff_id: str) -> Region | None:
        return open_base(parse(diff_id))

    try:
        return parse(undo.undo(delta, find, write).diff_id)
    except undo.DeltaError as e:
        raise InvalidArchive(f"cannot undo {what}: {e}") from None
