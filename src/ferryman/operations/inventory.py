"""Inventories: what a site has, as a file."""

import os

from ferryman.archive import read
from ferryman.archive.stream import FileStream, PipeStream, Stream
from ferryman.store.layout import Store
from ferryman.transfer import engines, inventory
from ferryman.transfer.channel import opened
from ferryman.transfer.inventory import InvalidInventory, Inventory
from ferryman.transfer.place import Place
from ferryman.transfer.probe import probe
from ferryman.transfer.site import site


def of_store(store: Store) -> bytes:
    """Return the inventory of a store, as a file; raises StoreError."""
    return inventory.write(inventory.from_store(store))


def of_host(place: Place, via: str = "") -> bytes:
    """Return the inventory of an engine that ssh reaches, as a file; raises HostError."""
    with opened(place) as channel:
        engine = engines.chosen(channel, probe(channel), via)
        if engine.name == "nerdctl":
            raise channel.error("nerdctl does not say what it has")
        if engine.name not in ("docker", "podman"):
            return inventory.write(site(channel, engine))
        said = channel.ask(
            f"ids=$({engine.command} image ls --all --quiet --no-trunc) || exit 1\n"
            f'[ -n "$ids" ] || {{ echo "[]"; exit; }}; {engine.command} image inspect $ids',
            limit=inventory.MAX_SIZE,
        )
        return inventory.write(inventory.read(said, f"what {place.name} says of its images"))


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
