"""Image prune: images that no container stands on, without a name or all of them."""

from collections.abc import Sequence

from ferryman.errors import UsageError
from ferryman.image.config import moment
from ferryman.operations import remove
from ferryman.operations.filters import LABELS, parsed, pruning
from ferryman.operations.remove import Pruned
from ferryman.store.images import Image
from ferryman.store.layout import Store

_KEYS = (*LABELS, "dangling", "until")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def prune(store: Store, filters: Sequence[str] = (), *, every: bool = False) -> Pruned:
    """Remove images without a name, with `every` all, and every blob that nothing needs.

    `filters` are ``label=``, ``label!=``, ``until=`` and ``dangling=``, of which false is like
    `every`.  Raises InvalidFlag, UsageError, StoreError.
    """
    chosen = pruning(filters, _KEYS)
    for value in parsed(filters, _KEYS).get("dangling", ()):
        if value not in _TRUTH:
            raise UsageError(f"invalid filter 'dangling=[{value}]'")
        every = every or not _TRUTH[value]

    def keep(image: Image) -> bool:
        named = bool(image.names) and not every
        return named or not chosen(image.config.labels, moment(image.config.created))

    return remove.prune(store, keep)
