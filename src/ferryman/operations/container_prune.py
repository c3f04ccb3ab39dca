"""Container prune: all that does not run goes."""

from collections.abc import Sequence

from ferryman.errors import Conflict, InvalidFlag, UsageError
from ferryman.image.config import seconds
from ferryman.operations.container_listing import listed
from ferryman.operations.container_remove import remove
from ferryman.operations.container_size import written
from ferryman.operations.listing import moment_of
from ferryman.runtime.record import ContainerNotFound
from ferryman.store.layout import Store


def prune(store: Store, filters: Sequence[str] = ()) -> tuple[list[str], int]:
    """Remove all containers that do not run; return their IDs and the bytes that were freed.

    `filters` are ``label=``, ``label!=`` and ``until=``.  Raises InvalidFlag, UsageError,
    StoreError.
    """
    labels: list[str] = []
    without: list[str] = []
    until: float | None = None
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidFlag(
                f'invalid argument "{text}": bad format of filter (expected name=value)'
            )
        if key == "label":
            labels.append(text)
        elif key == "label!":
            without.append(f"label={value}")
        elif key == "until":
            until = moment_of(value)
        else:
            raise UsageError(f"invalid filter '{key}'")
    spared = {
        row.container.id for each in without for row in listed(store, every=True, filters=[each])
    }
    removed: list[str] = []
    freed = 0
    for container, state in listed(store, every=True, filters=labels):
        too_young = until is not None and seconds(container.created) >= until
        if state.up or state.status == "restarting" or container.id in spared or too_young:
            continue
        size = written(store, container)
        try:
            remove(store, container.id)
        except (Conflict, ContainerNotFound):
            continue  # started or removed in the meantime
        removed.append(container.id)
        freed += size
    return removed, freed
