"""``oci:PATH[:REFERENCE]``: an image layout in a folder, of which other tools have others open."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ferryman import parallel
from ferryman.archive.stream import Stream
from ferryman.transfer.ends import files
from ferryman.transfer.ends.contract import Content, CopyError
from ferryman.transfer.ends.layout import LayoutDestination, LayoutSource


class Folder:
    """A folder as a shelf (see `layout.Shelf`)."""

    def __init__(self, path: str) -> None:
        """Keep files below `path`."""
        self.what = f"oci:{path}"
        self._path = path

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a small file."""
        return files.read(f"{self._path}/{name}", limit)

    def size(self, name: str) -> int | None:
        """Return the size in bytes of a file."""
        return files.size(f"{self._path}/{name}")

    @contextmanager
    def opened(self, name: str) -> Iterator[Stream]:
        """Give the content of a file."""
        with files.opened(f"{self._path}/{name}") as (stream, _):
            yield stream

    def write(self, name: str, size: int, content: Content) -> None:
        """Write a file."""
        path = f"{self._path}/{name}"
        _make(os.path.dirname(path))
        with content() as stream:
            files.write_stream(path, stream)

    def change(self, name: str, limit: int, change: Callable[[bytes | None], bytes]) -> None:
        """Replace a small file by what `change` makes of it."""
        _make(self._path)
        lock = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.read(name, limit)
            after = change(before)
            if after != before:
                files.write(f"{self._path}/{name}", after)
        finally:
            os.close(lock)


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as e:
        raise CopyError(f"cannot make the folder {folder}: {e.strerror}") from None


def source(path: str, reference: str) -> LayoutSource:
    """Return an image of the layout in a folder."""
    return LayoutSource(Folder(path), reference)


def destination(path: str, reference: str) -> LayoutDestination:
    """Return a place in the layout in a folder; raises CopyError."""
    if os.path.exists(path) and not os.path.isdir(path):
        raise CopyError(f"oci:{path}: {path} is not a folder")
    return LayoutDestination(Folder(path), reference, parallel.cores())
