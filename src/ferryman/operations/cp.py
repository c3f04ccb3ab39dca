"""Cp: files between a container, running or not, and the host.

By docker's rules: a source that ends in ``/.`` is its content, one that ends in ``/`` is what a
link leads to; a target that is a folder takes the source in, one that is missing becomes it.
"""

import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ferryman.archive import intake
from ferryman.archive.stream import PipeStream
from ferryman.archive.write import PipeSink
from ferryman.errors import FerryError, UsageError
from ferryman.rootfs import extract, members, within
from ferryman.rootfs.graft import Clash, graft, graft_content
from ferryman.rootfs.pack import Entry, Packer, Whole, walk
from ferryman.rootfs.within import Spot
from ferryman.runtime import record, users, view
from ferryman.runtime.finish import settled
from ferryman.runtime.record import Container
from ferryman.store.layout import Store
from ferryman.store.lease import hold

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Owner = tuple[int, int] | None
"""User and group of what is written; None when everything keeps its own."""


class Place(NamedTuple):
    """One side of a copy: a path in a container (None: on the host)."""

    container: str | None
    path: str

    @property
    def whole(self) -> str:
        """The path from the root on, without detours; what it ends in still says what it means."""
        base = os.getcwd() if self.container is None else "/"
        clean = "/" + posixpath.normpath(posixpath.join(base, self.path)).lstrip("/")
        if posixpath.basename(self.path.rstrip("/")) == ".":
            return clean.rstrip("/") + "/."
        return clean + "/" if self.path.endswith("/") and clean != "/" else clean


def place(text: str) -> Place:
    """Return what ``CONTAINER:PATH`` or ``PATH`` means; a path with a colon begins with ``./``."""
    container, colon, path = text.partition(":")
    if not colon or not container or text.startswith(("/", ".")):
        return Place(None, text)
    return Place(container, path)


class Copied(NamedTuple):
    """What came of a copy."""

    size: int
    """The bytes of its files."""
    to: str
    """Where it is now, as docker shows it."""


def cp(
    store: Store, source: Place, target: Place, *, archive: bool = False, follow: bool = False
) -> Copied:
    """Copy a file or folder.

    ``-`` on the host is a tar from standard input, or to standard output.  In a container
    everything keeps its owner, with `archive` it is the container's user's, if it has one; on the
    host it is this user's, with `archive` everything keeps its owner.  With `follow` a link that is
    named stands for what it leads to.  Raises ContainerNotFound, UsageError, FerryError.
    """
    if source.container is None and target.container is None:
        raise UsageError("must specify at least one container source")
    if source.container is not None and target.container is not None:
        raise UsageError("copying between containers is not supported")
    try:
        if source.container is not None:
            return _out(store, source, target, archive=archive, follow=follow)
        return _into(store, source, target, archive=archive, follow=follow)
    except OSError as e:
        raise FerryError(f"cannot copy {e.filename or source.path}: {e.strerror}") from None


def _out(store: Store, source: Place, target: Place, *, archive: bool, follow: bool) -> Copied:
    to = None if target.path == "-" else _target_on_host(target)
    container = record.find(store, source.container or "")
    with _root(store, container) as root:
        found = _source_in_container(root, source, follow=follow)
        if to is None:
            return Copied(_as_tar(found, _tar_name(source, found, follow=follow)), "-")
        owner = None if archive else (os.geteuid(), os.getegid())
        return Copied(_copy(found, source, to, target, owner), target.whole)


def _into(store: Store, source: Place, target: Place, *, archive: bool, follow: bool) -> Copied:
    found = None if source.path == "-" else _source_on_host(source, follow=follow)
    container = record.find(store, target.container or "")
    with _root(store, container) as root:
        to = _target_in_container(root, target)
        if found is None and not to.is_folder:
            raise FerryError(f'destination "{target.container}:{target.path}" must be a directory')
        _check_writable(container, to)
        owner = _user(root, container) if archive else None
        if found is None:
            size = _from_tar(store, to, owner)
        else:
            size = _copy(found, source, to, target, owner)
        return Copied(size, f"{target.container}:{target.path}")


@contextmanager
def _root(store: Store, container: Container) -> Iterator[int]:
    """Open the root folder of a container, with what is mounted in it."""
    with view.whole(store, container, settled(store, container)) as path:
        root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield root
        finally:
            os.close(root)


def _host() -> int:
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _source_on_host(source: Place, *, follow: bool) -> Spot:
    try:
        return within.find(_host(), source.whole, follow=follow)
    except OSError as e:
        raise _wrong("lstat", source.whole, e) from None


def _source_in_container(root: int, source: Place, *, follow: bool) -> Spot:
    if not source.path:
        raise FerryError("bad parameter: path cannot be empty")
    try:
        return within.find(root, source.whole, follow=follow)
    except FileNotFoundError:
        raise _missing(source.path, source) from None
    except OSError as e:
        raise _wrong("lstat", source.whole, e) from None


def _target_on_host(target: Place) -> Spot:
    path = target.whole
    try:
        found = within.find_new(_host(), path)
    except FileNotFoundError as e:
        parent = posixpath.dirname(path.rstrip("/"))
        if path.endswith("/."):
            raise _wrong("stat", parent, e) from None
        raise FerryError(f'invalid output path: directory "{parent}" does not exist') from None
    except OSError as e:
        raise _wrong("stat", path, e) from None
    if _is_device(found):
        raise FerryError(
            f'invalid output path: "{path}" must be a directory or a regular file: got a device'
        )
    return found


def _target_in_container(root: int, target: Place) -> Spot:
    if not target.path:
        raise FerryError("no such directory")
    path = target.whole
    try:
        found = within.find_new(root, path)
    except FileNotFoundError as e:
        raise _missing(os.fsdecode(e.filename), target) from None
    except NotADirectoryError:
        if path.endswith("/"):
            raise FerryError("no such directory") from None
        raise FerryError("extraction point is not a directory") from None
    except OSError as e:
        raise _wrong("lstat", path, e) from None
    if _is_device(found):
        raise FerryError(
            f'destination "{target.container}:{target.path}" must be a directory '
            "or a regular file: got a device"
        )
    return found


def _missing(path: str, place: Place) -> FerryError:
    return FerryError(f"Could not find the file {path} in container {place.container}")


def _wrong(call: str, path: str, error: OSError) -> FerryError:
    return FerryError(f"{call} {path}: {(error.strerror or str(error)).lower()}")


def _is_device(spot: Spot) -> bool:
    mode = spot.status.st_mode if spot.status else 0
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _check_writable(container: Container, to: Spot) -> None:
    """Refuse what its user wanted to be read-only: here it could be written to."""
    mounts = [each for each in container.mounts if _is_below(to.path, each.destination)]
    if mounts:
        if not max(mounts, key=lambda each: len(each.destination)).rw:
            raise FerryError("mounted volume is marked read-only")
    elif container.host_config.readonly_rootfs:
        raise FerryError("container rootfs is marked read-only")


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _user(root: int, container: Container) -> Owner:
    """Return whom what is copied with `archive` belongs to; raises InvalidSettings."""
    if not container.config.user:
        return None
    user = users.find(f"/proc/self/fd/{root}", container.config.user)
    return user.uid, user.gid


def _base(source: Place) -> str:
    """Return the name that a source has in a folder; "." or "/" when it is its content."""
    return posixpath.basename(source.whole.rstrip("/")) or "/"


def _copy(found: Spot, source: Place, to: Spot, target: Place, owner: Owner) -> int:
    """Copy one side's to the other's; return the bytes of the files."""
    base, shown = _base(source), to.path
    try:
        if to.is_folder:
            if found.is_folder and base in (".", "/"):
                return _content(found, to, owner)
            return graft(found.folder, found.name, to.folder, base, owner=owner)
        shown = posixpath.dirname(to.path)
        if to.status is None and target.path.endswith("/") and not found.is_folder:
            raise FerryError("no such directory")
        if to.status is not None and found.is_folder:
            raise FerryError("cannot copy directory")
        return graft(found.folder, found.name, to.folder, to.name, owner=owner)
    except Clash as e:
        raise _clash(e, shown) from None


def _clash(clash: Clash, folder: str) -> FerryError:
    there, new = ("directory", "non-directory")[:: 1 if clash.folder else -1]
    path = posixpath.join(folder, clash.path)
    return FerryError(f'cannot overwrite {there} "{path}" with {new} "{folder}"')


def _content(found: Spot, to: Spot, owner: Owner) -> int:
    below = _folder(found)
    into = _folder(to)
    try:
        return graft_content(below, into, owner=owner)
    finally:
        os.close(below)
        os.close(into)


def _folder(spot: Spot) -> int:
    return os.open(spot.name, _FOLDER, dir_fd=spot.folder)


def _tar_name(source: Place, found: Spot, *, follow: bool) -> str:
    """Return what the source is called in a tar: a link that is followed, as what it leads to."""
    base = _base(source)
    if follow and not source.whole.endswith(("/", "/.")):
        base = posixpath.basename(found.path)
    return base.strip("/")


def _as_tar(found: Spot, name: str) -> int:
    """Write a file or folder to standard output; return the bytes of the files."""
    packer = Packer(Whole(PipeSink(1)))
    prefix = os.fsencode(name)
    if prefix and found.status:
        packer.add(Entry(prefix, found.folder, found.name, found.status))
    if found.is_folder:
        below = _folder(found)
        try:
            for entry in walk(below):
                packer.add(entry, prefix + b"/" + entry.path if prefix else entry.path)
        finally:
            os.close(below)
    packer.finish()
    return packer.size


def _from_tar(store: Store, to: Spot, owner: Owner) -> int:
    """Unpack a tar, plain or compressed, from standard input; return the bytes of the files."""
    with hold(store) as lease:
        stream, _ = intake.plain(store, PipeStream(0, "stdin"), "stdin")
        taken = intake.take(stream, None, lease, "stdin")
        if not taken.size:
            return 0
        unpacked = lease.path()
        os.mkdir(unpacked, 0o700)
        tar = os.open(taken.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            extract.extract(members.Layer(tar, taken.size, "stdin"), unpacked, plain=True)
        finally:
            os.close(tar)
        below, into = os.open(unpacked, _FOLDER), _folder(to)
        try:
            return graft_content(below, into, owner=owner)
        except Clash as e:
            raise _clash(e, to.path) from None
        finally:
            os.close(below)
            os.close(into)
