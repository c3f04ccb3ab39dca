"""Start: a container that has been created, or has ended, runs (again)."""

from ferryman.runtime import record
from ferryman.runtime.finish import settled
from ferryman.runtime.start import start as begin
from ferryman.store.layout import Store


def start(store: Store, text: str) -> None:
    """Start a container, detached; one that runs stays as it is.

    Raises ContainerNotFound, EngineError, StoreError, and what networks and volumes raise.
    """
    container = record.find(store, text)
    settled(store, container)
    begin(store, container)
