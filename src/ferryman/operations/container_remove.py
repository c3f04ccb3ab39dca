"""Remove a container: its record, what it has written, and volumes that were its alone."""

from ferryman.errors import Conflict, StoreError
from ferryman.operations.stop import end
from ferryman.runtime import record, volumes
from ferryman.runtime.finish import settled
from ferryman.runtime.record import Container, ContainerNotFound
from ferryman.store.durable import remove as remove_files
from ferryman.store.layout import Store


def remove(
    store: Store, text: str, *, force: bool = False, with_volumes: bool = False
) -> Container:
    """Remove a container that does not run, with `force` one that runs too; return its record.

    With `with_volumes` its anonymous volumes go too.  Raises ContainerNotFound, Conflict,
    StoreError.
    """
    container = record.find(store, text)
    state = settled(store, container)
    if force and (state.up or state.status == "restarting"):
        try:
            end(store, container)
            _remove(store, container, with_volumes=with_volumes)
        except ContainerNotFound:
            pass  # its monitor has removed it at its end
    else:
        _remove(store, container, with_volumes=with_volumes)
    return container


def _remove(store: Store, container: Container, *, with_volumes: bool) -> None:
    with record.container_locked(store, container.id):
        state = record.read_state(store, container.id)
        if state.up or state.starter or state.status == "restarting":
            what = "paused" if state.status == "paused" else "running"
            advice = (
                "unpause and then stop the container before removal or force remove"
                if state.status == "paused"
                else "stop the container before removing or force remove"
            )
            raise Conflict(
                f'cannot remove container "/{container.name}": container is {what}: {advice}'
            )
        removed_for_good(store, container, with_volumes=with_volumes)


def removed_for_good(store: Store, container: Container, *, with_volumes: bool = True) -> None:
    """Remove a container that has ended; the caller holds its lock.  Raises StoreError."""
    try:
        going = record.discarded(store, container)
    except OSError as e:
        raise StoreError(f"cannot remove container {container.name}: {e.strerror}") from None
    if with_volumes:
        volumes.remove_anonymous(store, container)
    remove_files(going)
