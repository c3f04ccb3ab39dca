"""The files below a folder, which may lie deeper than a path, or a stack, can say."""

import os
from collections.abc import Iterator
from contextlib import suppress

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONG = 1000  # characters, of at most 4 bytes: the kernel's paths have 4095


def files(path: str) -> Iterator[os.stat_result]:
    """Yield the status of everything below a folder that is no folder; of none, nothing.

    What goes or comes in the meantime may be among them or not.
    """
    try:
        top = os.open(path, _FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return
    # Folders by their path from one that is open; that without a path is to be closed.
    todo = [(top, ""), (top, ".")]
    try:
        while todo:
            base, folder = todo.pop()
            if not folder:
                os.close(base)
                continue
            try:
                fd = os.open(folder, _FOLDER, dir_fd=base)
            except OSError:
                continue  # it has gone
            if len(folder) > _LONG:
                todo.append((fd, ""))
                base, folder = fd, "."
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            todo.append((base, f"{folder}/{entry.name}"))
                            continue
                        with suppress(FileNotFoundError):
                            yield entry.stat(follow_symlinks=False)
            finally:
                if base != fd:
                    os.close(fd)
    finally:
        for base, folder in todo:
            if not folder:
                os.close(base)


def size(path: str) -> int:
    """Return the bytes of all files below a folder, links counted once; 0 when there is none."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for status in files(path):
        if status.st_nlink > 1:
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
        total += status.st_size
    return total
