"""What a build may take: a folder, a tar or a Dockerfile from a pipe, or what a URL gives."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ferryman.archive import compression
from ferryman.archive.spool import spooled
from ferryman.archive.stream import PipeStream, RewoundStream, Stream
from ferryman.archive.tar import BLOCK
from ferryman.build import copying, ignore, remote
from ferryman.build.ignore import Ignored
from ferryman.build.trees import Context
from ferryman.errors import FerryError, InvalidArchive, UsageError
from ferryman.operations import download
from ferryman.operations.clone import clone
from ferryman.rootfs import extract, members, syscalls
from ferryman.rootfs.namespace import ordinary
from ferryman.store.layout import Store
from ferryman.store.lease import hold

_MAX_TEXT = 16 << 20
_NAME = "Dockerfile"
_IGNORE = ".dockerignore"


class Recipe(NamedTuple):
    """A Dockerfile, as it is called and what stands in it, and the files that it may take."""

    name: str
    text: str
    context: Context


@contextmanager
def recipe(store: Store, path: str, dockerfile: str = "") -> Iterator[Recipe]:
    """Give the Dockerfile and the context of a build; what is not a folder lies in the store.

    `path` is a folder, ``-`` for standard input (a Dockerfile, or a tar with the context), or a
    URL of a tar, a Dockerfile or a git repository; `dockerfile` is a path, ``-`` for standard
    input, or empty for ``Dockerfile`` in the context.  Raises UsageError, InvalidArchive,
    FerryError.
    """
    if path == "-" and dockerfile == "-":
        raise UsageError("invalid argument: can't use stdin for both build context and dockerfile")
    with hold(store) as lease:
        scratch = lease.path()
        os.mkdir(scratch, 0o700)
        folder, text = _context(path, scratch)
        name = _NAME if dockerfile in ("", "-") else dockerfile
        ignored: Ignored | None = None
        if dockerfile == "-":
            text = _read_all(0)
        elif text is None and dockerfile and os.path.isfile(dockerfile):
            # As docker: a path of this machine comes before one in the context.
            with open(dockerfile, "rb") as f:
                text = _read_all(f.fileno())
            if os.path.isfile(dockerfile + _IGNORE):
                with open(dockerfile + _IGNORE, "rb") as f:
                    ignored = ignore.read(_read_all(f.fileno()))
        names = (name, name.lower()) if name == _NAME else (name,)
        if text is None:
            text = _first(folder, names)
        if text is None:
            raise FerryError(f"failed to read dockerfile: open {name}: no such file or directory")
        if ignored is None:
            ignored = ignore.read(_first(folder, (name + _IGNORE, _IGNORE)) or "")
        yield Recipe(name, text, Context(folder, ignored))


def _context(path: str, scratch: str) -> tuple[str, str | None]:
    """Return the folder of a context, and the Dockerfile if that was given instead."""
    folder = f"{scratch}/context"
    if path == "-":
        os.mkdir(folder)
        return folder, _given(PipeStream(0, "standard input"), folder, scratch)
    if path.startswith("github.com/") or remote.is_repository(path):
        url = f"https://{path}" if path.startswith("github.com/") else path
        return clone(url, folder, keep_git_dir=True), None
    if remote.is_file(path):
        os.mkdir(folder)
        with download.opened(path) as (stream, _):
            return folder, _given(stream, folder, scratch)
    if not os.path.exists(path):
        raise FerryError(f'unable to prepare context: path "{path}" not found')
    if not os.path.isdir(path):
        raise FerryError(f"unable to prepare context: context must be a directory: {path}")
    return os.path.abspath(path), None


def _first(folder: str, names: tuple[str, ...]) -> str | None:
    """Return the text of the first of these files that is there, without leaving the folder."""
    top = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        for name in names:
            try:
                fd = syscalls.openat2(top, name, flags, resolve=syscalls.RESOLVE_IN_ROOT)
            except OSError:
                continue
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise FerryError(f"failed to read dockerfile: {name} is not a regular file")
                return _read_all(fd)
            finally:
                os.close(fd)
    finally:
        os.close(top)
    return None


def _read_all(fd: int) -> str:
    return _text(PipeStream(fd, "the Dockerfile"))


def _given(stream: Stream, folder: str, scratch: str) -> str | None:
    """Unpack a tar, plain or compressed, to a folder; return the text if it is none."""
    what = "the build context"
    head = stream.read(BLOCK)
    form = compression.recognise(head)
    whole = RewoundStream(head, stream)
    if form == "none" and not copying.is_tar(head):
        return _text(whole)
    fd = spooled(compression.decompressed(whole, form, what), f"{scratch}/plain", what)
    try:
        if not copying.is_tar(os.pread(fd, BLOCK, 0)):
            raise InvalidArchive(f"{what} is no tar")
        layer = members.Layer(fd, os.fstat(fd).st_size, what)
        extract.extract(layer, folder, user=ordinary())
    finally:
        os.close(fd)
    return None


def _text(stream: Stream) -> str:
    content = stream.read(_MAX_TEXT + 1)
    if len(content) > _MAX_TEXT:
        raise FerryError(f"failed to read dockerfile: it is larger than {_MAX_TEXT >> 20} MiB")
    return content.decode("utf-8", "surrogateescape")
