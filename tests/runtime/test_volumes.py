"""Volumes that are made while others clear up."""

import threading
from pathlib import Path

from ferryman.runtime import volumes
from ferryman.store.layout import open_store
from ferryman.store.lease import clear_dead, collect_lock
from ferryman.store.lock import locked


def test_made_while_what_is_unfinished_is_cleared_away(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    done = threading.Event()

    def clear() -> None:
        while not done.is_set():
            with locked(collect_lock(store)):
                clear_dead(store)

    clearing = threading.Thread(target=clear)
    clearing.start()
    try:
        for _ in range(50):
            volumes.create(store)
    finally:
        done.set()
        clearing.join()
    assert len(volumes.every(store)) == 50
    assert list(Path(store.tmp).iterdir()) == []
