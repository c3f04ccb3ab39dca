"""What has arrived of parts, kept until the image is there.

The standard library alone, as of Python 3.6: this file is sent to hosts.
"""

import contextlib
import hashlib
import os
import shutil
import time
from typing import Any, Callable, Dict, List, Optional

from ferryman.transfer.agent.incoming import Failed

_PIECE = 1 << 20
_OLD_SECONDS = 7 * 86400
_HEX = set("0123456789abcdef")


class Kept:
    """The folder of what has arrived: a file for each part, by its SHA-256, ``.part`` behind it
    while it is not whole."""

    def __init__(self, folder: str) -> None:
        """Make the folder, and forget what nobody has come back for."""
        self.folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if time.time() - os.stat(path).st_mtime > _OLD_SECONDS:
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def path(self, digest: str) -> str:
        """Return the file of a whole part."""
        if len(digest) != 64 or not set(digest) <= _HEX:
            raise Failed("a request for no digest")
        return os.path.join(self.folder, digest)

    def size(self, digest: str) -> Optional[int]:
        """Return the bytes of a whole part, or None."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            return None

    def begun(self, digest: str) -> int:
        """Return how many bytes of a part have arrived."""
        try:
            return os.stat(self.path(digest) + ".part").st_size
        except FileNotFoundError:
            return 0

    def forget(self, digests: List[str]) -> None:
        """Remove parts, and the folder if that was all."""
        for digest in digests:
            for path in (self.path(digest), self.path(digest) + ".part"):
                if os.path.exists(path):
                    os.unlink(path)
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)


def receive(
    kept: Kept, source: Any, request: Dict[str, Any], write: Callable[[bytes], object]
) -> None:
    """Take a part, from where the last try ended, pass all of it on, and keep it.

    `source` is an Input or an Address.
    """
    digest, size, at = request["digest"], request["size"], request["at"]
    path = kept.path(digest) + ".part"
    hashed = hashlib.sha256()
    with open(path, "r+b" if os.path.exists(path) else "w+b") as file:
        for piece in pieces(file, at):
            hashed.update(piece)
            write(piece)
        if file.tell() != at:
            raise Failed("what was kept is gone")
        file.truncate()
        for piece in source.body(request["codec"]):
            at += len(piece)
            if at > size:
                raise Failed("more arrives than was announced")
            hashed.update(piece)
            file.write(piece)
            # Others may read it already.
            file.flush()
            write(piece)
    if at != size or hashed.hexdigest() != digest:
        os.unlink(path)
        raise Failed("what arrived is not what was sent")
    os.rename(path, kept.path(digest))


def pieces(file: Any, size: int) -> Any:
    """Yield so many bytes of a file, fewer only at its end."""
    while size:
        piece = file.read(min(size, _PIECE))
        if not piece:
            return
        size -= len(piece)
        yield piece
