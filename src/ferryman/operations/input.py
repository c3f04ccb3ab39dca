"""Archives as they come in: a file, a folder, a pipe, volumes; signed and encrypted."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from ferryman.archive import read, volumes
from ferryman.archive.stream import FileStream, RewoundStream, Stream
from ferryman.archive.volumes import JoinedStream, Volumes
from ferryman.errors import InvalidArchive, UsageError

_HEAD = 40


class Input(NamedTuple):
    """An archive that is open."""

    content: int | Stream
    """A descriptor, or content that goes by once."""
    what: str
    """What it is called in errors."""


@contextmanager
def opened(
    paths: Sequence[str], *, identities: Sequence[str] = (), key: str | None = None
) -> Iterator[Input]:
    """Open an archive: a file or folder, its volumes or some of them, or standard input.

    With `key` its signature is checked first; `identities` are the files with the keys that it is
    encrypted for.  Whatever is found wrong with it while the block runs is put down to a damaged
    volume, where there is one.  Raises InvalidArchive, UsageError, BadSignature, MissingProgram.
    """
    if key or identities:
        from ferryman.operations import sealed  # others need not wait for its imports
    with ExitStack() as stack:
        if not paths:
            if key:
                raise UsageError("--verify needs a file, by -i: a signature is beside it")
            # What comes through a pipe is decrypted where somebody says that it must be.
            found, locked = Input(0, "stdin"), bool(identities)
        elif joined := volumes.find(paths):
            if key:
                _check_list(joined, key)
            stream = JoinedStream(joined)
            stack.enter_context(_settled(stream))
            head = stream.read(_HEAD)
            found, locked = Input(RewoundStream(head, stream), joined.what), read.is_encrypted(head)
        else:
            fd = stack.enter_context(read.opened(paths[0]))
            if key:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise UsageError(f"--verify needs a file: {paths[0]}")
                sealed.check_signature(fd, paths[0], key)
            begins = _head(fd, paths[0])
            locked = bool(identities) if begins is None else read.is_encrypted(begins)
            found = Input(fd, paths[0])
        if locked:
            if not identities:
                raise read.encrypted(found.what)
            plain = sealed.decrypting(found.content, identities, found.what)
            found = Input(stack.enter_context(plain), found.what)
        yield found


def _check_list(joined: Volumes, key: str) -> None:
    from ferryman.operations import sealed

    if joined.listed is None:
        raise sealed.BadSignature(
            f"{joined.what} is not signed: there is no list {joined.list_path}"
        )
    sealed.check_signature_of(joined.listed, joined.list_path, key)


def _head(fd: int, what: str) -> bytes | None:
    """Return the first bytes of a file, none of a folder; None when they cannot be looked at."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return b"" if stat.S_ISDIR(status.st_mode) else None
    return FileStream(fd, 0, status.st_size, what).read(min(status.st_size, _HEAD))


@contextmanager
def _settled(stream: JoinedStream) -> Iterator[None]:
    try:
        yield
    except InvalidArchive:
        stream.settle()
        raise
    finally:
        stream.close()
