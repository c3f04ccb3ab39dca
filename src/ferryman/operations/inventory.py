"""Inventories: what a site has, as a file."""

import os

from ferryman.archive import read
from ferryman.archive.stream import FileStream, PipeStream, Stream
from ferryman.store.layout import Store
from ferryman.transfer import inventory
from ferryman.transfer.inventory import InvalidInventory, Inventory


def of_store(store: Store) -> bytes:
    """Return the inventory of a store, as a file; raises StoreError."""
    return inventory.write(inventory.from_store(store))


def of_listing(path: str) -> bytes:
    """Return the inventory, as a file, that a file with docker's words for its images makes.

    Raises InvalidArchive when it cannot be read, InvalidInventory.
    """
    return inventory.write(from_file(path))


def from_file(path: str) -> Inventory:
    """Read an inventory, or what ``docker image inspect`` printed; ``-`` is standard input.

    Raises InvalidArchive when it cannot be read, InvalidInventory.
    """
    what = "stdin" if path == "-" else path
    with read.opened(path, 0 if path == "-" else None) as fd:
        size = inventory.MAX_SIZE + 1
        stream: Stream = PipeStream(fd, what)
        if os.path.isfile(path):
            stream = FileStream(fd, 0, os.fstat(fd).st_size, what)
            size = min(size, os.fstat(fd).st_size)
        content = stream.read(size)
    if len(content) > inventory.MAX_SIZE:
        raise InvalidInventory(f"{what} has more than {inventory.MAX_SIZE} bytes")
    return inventory.read(content, what)
