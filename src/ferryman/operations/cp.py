"""Cp: files between a container, running or not, and the host."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ferryman.archive import intake
from ferryman.archive.stream import PipeStream
from ferryman.archive.write import PipeSink
from ferryman.errors import FerryError, UsageError
from ferryman.rootfs import extract, members, syscalls
from ferryman.rootfs.graft import graft, graft_content
from ferryman.rootfs.pack import Entry, Packer, walk
from ferryman.runtime import filesystem, record
from ferryman.runtime.finish import settled
from ferryman.store.layout import Store
from ferryman.store.lease import hold

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Place(NamedTuple):
    """One side of a copy: a path in a container (None: on the host)."""

    container: str | None
    path: str


def place(text: str) -> Place:
    """Return what ``CONTAINER:PATH`` or ``PATH`` means; a path with a colon begins with ``./``."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return Place(None, text)
    return Place(container, path)


def cp(
    store: Store, source: Place, target: Place, *, archive: bool = False, follow: bool = False
) -> int:
    """Copy a file or folder and return the bytes of its files.

    ``-`` on the host is a tar from standard input, or to standard output.  With `archive` owners
    are kept; else they are root in a container, and this user on the host.  With `follow` a link
    that is named stands for what it leads to.  Raises ContainerNotFound, UsageError, FerryError.
    """
    if source.container is None and target.container is None:
        raise UsageError("must specify at least one container source")
    if source.container is not None and target.container is not None:
        raise UsageError("copying between containers is not supported")
    try:
        if source.container is not None:
            with _root(store, source.container) as root:
                return _out(root, source, target.path, archive=archive, follow=follow)
        assert target.container is not None
        with _root(store, target.container) as root:
            return _into(store, root, source.path, target, archive=archive, follow=follow)
    except OSError as e:
        raise FerryError(f"cannot copy {e.filename or source.path}: {e.strerror}") from None


@contextmanager
def _root(store: Store, text: str) -> Iterator[int]:
    """Open the root folder of a container, with what is mounted in it."""
    container = record.find(store, text)
    state = settled(store, container)
    if state.up and state.init:
        path = f"/proc/{state.init.pid}/root"
        fd = os.open(path, _FOLDER)
        try:
            yield fd
        finally:
            os.close(fd)
        return
    with filesystem.seen(store, container, state) as path:
        fd = os.open(path, _FOLDER)
        try:
            for mount in container.mounts:
                if mount.source:
                    _bind(fd, mount.source, mount.destination)
            yield fd
        finally:
            os.close(fd)


def _bind(root: int, source: str, destination: str) -> None:
    with suppress(OSError):  # never started, it may lack the place
        at = syscalls.openat2(root, destination, os.O_PATH, resolve=syscalls.RESOLVE_IN_ROOT)
        try:
            syscalls.mount(source, f"/proc/self/fd/{at}", "", syscalls.MS_BIND | syscalls.MS_REC)
        finally:
            os.close(at)


class _Found(NamedTuple):
    """A path, taken apart: the open folder, and the name in it ("." for the folder itself)."""

    folder: int
    name: str


def _in_root(root: int, path: str, *, follow: bool) -> _Found:
    """Find a path as a process in the container would; raises OSError."""
    clean = "/" + path.lstrip("/")
    parent, _, name = clean.rstrip("/").rpartition("/")
    resolve = syscalls.RESOLVE_IN_ROOT
    if follow or not name or name in (".", ".."):
        fd = syscalls.openat2(root, clean, os.O_PATH, resolve=resolve)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            return _Found(fd, ".")
        real = os.readlink(f"/proc/self/fd/{fd}")
        base = os.readlink(f"/proc/self/fd/{root}").rstrip("/")
        os.close(fd)
        parent, _, name = real.removeprefix(base).rpartition("/")
    return _Found(syscalls.openat2(root, parent or "/", _FOLDER, resolve=resolve), name)


def _out(root: int, source: Place, target: str, *, archive: bool, follow: bool) -> int:
    """Copy from a container to the host."""
    try:
        found = _in_root(root, source.path, follow=follow)
        status = os.stat(found.name, dir_fd=found.folder, follow_symlinks=False)
    except OSError:
        raise FerryError(
            f"Could not find the file {source.path} in container {source.container}"
        ) from None
    base = os.path.basename(source.path.rstrip("/")) or "/"
    if target == "-":
        return _as_tar(found, status, base)
    owner = None if archive else (os.geteuid(), os.getegid())
    folder, name = os.path.split(target.rstrip("/")) if target.rstrip("/") else ("/", ".")
    into = _host_folder(target) if os.path.isdir(target) else None
    contents = source.path.endswith("/.") or (found.name == "." and base in (".", "/"))
    if into is not None:
        if stat.S_ISDIR(status.st_mode) and contents:
            return _content(found, into, owner)
        return graft(*_named(found), into, base, owner=owner)
    _check_missing(target, folder, status)
    into = _host_folder(folder or ".")
    if stat.S_ISDIR(status.st_mode):
        os.mkdir(name, 0o755, dir_fd=into)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=into)
        return _content(found, below, owner)
    return graft(*_named(found), into, name, owner=owner)


def _check_missing(target: str, folder: str, status: os.stat_result) -> None:
    """Refuse a target that does not fit: the name of a file for a folder, a folder not there."""
    if os.path.lexists(target):
        if stat.S_ISDIR(status.st_mode):
            raise FerryError("cannot copy directory: not a directory: " + target)
    elif target.endswith("/") and not stat.S_ISDIR(status.st_mode):
        raise FerryError("destination directory must exist: " + target)
    if folder and not os.path.isdir(folder):
        raise FerryError(
            f'invalid output path: directory "{os.path.abspath(folder)}" does not exist'
        )


def _named(found: _Found) -> tuple[int, str]:
    return found.folder, found.name


def _host_folder(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _content(found: _Found, into: int, owner: tuple[int, int] | None) -> int:
    below = os.open(found.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=found.folder)
    try:
        return graft_content(below, into, owner=owner)
    finally:
        os.close(below)


def _as_tar(found: _Found, status: os.stat_result, base: str) -> int:
    packer = Packer(PipeSink(1))
    prefix = os.fsencode(base.strip("/"))
    if prefix not in (b"", b"."):
        packer.add(Entry(prefix, found.folder, found.name, status))
    if stat.S_ISDIR(status.st_mode):
        below = os.open(found.name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=found.folder)
        for entry in walk(below):
            packer.add(entry, prefix + b"/" + entry.path if prefix else entry.path)
    packer.finish()
    return packer.size


def _into(
    store: Store, root: int, source: str, target: Place, *, archive: bool, follow: bool
) -> int:
    """Copy from the host to a container."""
    if source == "-":
        return _from_tar(store, root, target)
    if not (os.path.exists(source) if follow else os.path.lexists(source)):
        raise FerryError(f"lstat {source}: no such file or directory")
    if follow:
        source = os.path.realpath(source) + ("/." if source.endswith("/.") else "")
    owner = None if archive else (0, 0)
    contents = source.rstrip("/").endswith("/.") or source in (".", "/")
    path = source.rstrip("/") or "/"
    parent, base = os.path.split(os.path.abspath(path) if contents else path)
    status = os.stat(path, follow_symlinks=False)
    origin = _Found(_host_folder(parent or "."), base or ".")
    resolve = syscalls.RESOLVE_IN_ROOT
    try:
        into = syscalls.openat2(root, target.path or "/", _FOLDER, resolve=resolve)
    except FileNotFoundError:
        return _to_new(root, origin, status, target, owner)
    except NotADirectoryError:
        if stat.S_ISDIR(status.st_mode):
            raise FerryError("cannot copy directory: not a directory") from None
        found = _in_root(root, target.path, follow=True)
        return graft(*_named(origin), found.folder, found.name, owner=owner)
    if stat.S_ISDIR(status.st_mode) and contents:
        return _content(origin, into, owner)
    return graft(*_named(origin), into, base, owner=owner)


def _to_new(
    root: int,
    origin: _Found,
    status: os.stat_result,
    target: Place,
    owner: tuple[int, int] | None,
) -> int:
    """Copy to a name that is not there yet, in a folder that is."""
    if target.path.endswith("/") and not stat.S_ISDIR(status.st_mode):
        raise FerryError("destination directory must exist: " + target.path)
    try:
        found = _in_root(root, target.path, follow=False)
    except OSError:
        raise FerryError(
            f"Could not find the file {os.path.dirname(target.path.rstrip('/')) or '/'} "
            f"in container {target.container}"
        ) from None
    return graft(*_named(origin), found.folder, found.name, owner=owner)


def _from_tar(store: Store, root: int, target: Place) -> int:
    """Unpack a tar from standard input into a folder of a container."""
    resolve = syscalls.RESOLVE_IN_ROOT
    try:
        into = syscalls.openat2(root, target.path or "/", _FOLDER, resolve=resolve)
    except NotADirectoryError:
        raise FerryError(f"destination {target.path} must be a directory") from None
    except OSError:
        raise FerryError(
            f"Could not find the file {target.path} in container {target.container}"
        ) from None
    with hold(store) as lease:
        taken = intake.take(PipeStream(0, "stdin"), None, lease, "stdin")
        unpacked = lease.path()
        os.mkdir(unpacked, 0o700)
        tar = os.open(taken.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            extract.extract(members.Layer(tar, taken.size, "stdin"), unpacked)
        finally:
            os.close(tar)
        below = _host_folder(unpacked)
        try:
            return graft_content(below, into)
        finally:
            os.close(below)
