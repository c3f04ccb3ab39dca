"""COPY and ADD: files put into a root filesystem, and WORKDIR, which makes a folder.

As a process with that root for its own would do it: links in the destination are followed there.
"""

import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ferryman.archive import compression
from ferryman.archive.spool import spooled
from ferryman.archive.stream import FileStream
from ferryman.archive.tar import BLOCK
from ferryman.build import ignore, modes, remote, selection
from ferryman.build.graph import Files
from ferryman.build.lines import DockerfileError
from ferryman.build.selection import Entry, Found, Root
from ferryman.build.trees import Context
from ferryman.errors import FerryError, InvalidArchive
from ferryman.rootfs import extract, graft, members, syscalls
from ferryman.runtime import users

Owner = tuple[int, int]


class Target(NamedTuple):
    """Where files are put: an open root, and how they are to be there."""

    fd: int
    owner: Owner | None
    chmod: str
    scratch: str
    """A folder for what is to be thrown away."""


def copy(step: Files, source: Root, root: str, scratch: str, fetched: Sequence[str]) -> None:
    """Do what COPY or ADD says, in a mounted root filesystem.

    `fetched` are the paths of what its remote sources, in order, have given; `scratch` is an
    empty folder.  Raises DockerfileError, NotThere, OSError.
    """
    owner = _owner(root, step.chown)
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    target = Target(fd, owner, step.chmod, scratch)
    exclude = ignore.patterns(step.exclude)
    gone_for = iter(fetched)
    try:
        for name in step.sources:
            if remote.is_repository(name):
                with selection.opened(next(gone_for), ignore.Ignored(), (0, 0)) as files:
                    _place(target, files, Found("", ""), step.destination, exclude)
            elif remote.is_file(name):
                _place_file(target, next(gone_for), step)
            elif step.parents:
                _with_parents(target, source, name, step, exclude)
            else:
                for found in selection.find(source, name):
                    if not (step.unpack and _unpacked(target, source, found, step)):
                        _place(target, source, found, step.destination, exclude)
        for number, each in enumerate(step.inline):
            path = f"{scratch}/inline-{number}/{posixpath.basename(each.name) or 'file'}"
            os.makedirs(os.path.dirname(path))
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as f:
                f.write(each.text)
            os.chmod(path, 0o644)
            _place_file(target, path, step)
    finally:
        os.close(fd)


def make_folder(root: str, path: str, user: str) -> None:
    """Make a folder, and those above it, for a user; raises DockerfileError, OSError."""
    owner = _owner(root, user) if user else None
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_folder(fd, path, owner))
    finally:
        os.close(fd)


def copy_selected(context: Context, source: str, into: str) -> None:
    """Copy what is to be seen of a context's path to the same path of a folder; raises OSError."""
    with selection.opened(context.folder, context.ignored, (0, 0)) as root:
        fd = os.open(into, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            target = Target(fd, (0, 0), "", into)
            for found in selection.find(root, source):
                _place(target, root, found, "/" + found.path, ignore.Ignored())
        finally:
            os.close(fd)


def inside(root: str, path: str) -> str:
    """Return the path of something in a root, links followed there; raises NotThere."""
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = syscalls.openat2(top, path, os.O_PATH, resolve=syscalls.RESOLVE_IN_ROOT)
    except OSError:
        raise selection.NotThere(f'"{path}": not found') from None
    finally:
        os.close(top)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _owner(root: str, wanted: str) -> Owner | None:
    """Return whose files are to be; a number that stands alone is the group's too."""
    if not wanted:
        return None
    if re.fullmatch("[0-9]+", wanted):
        wanted = f"{wanted}:{wanted}"
    try:
        found = users.find(root, wanted)
    except FerryError as e:
        raise DockerfileError(f"invalid user '{wanted}': {e}") from None
    return found.uid, found.gid


def _folder(top: int, path: str, owner: Owner | None) -> int:
    """Open a folder below a root, made where it is missing; raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        return syscalls.openat2(top, path or "/", flags, resolve=syscalls.RESOLVE_IN_ROOT)
    above, _, name = path.rstrip("/").rpartition("/")
    parent = _folder(top, above, owner)
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=parent)
            # The mask is the caller's, and not to count.
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                os.fchmod(fd, 0o755)
                os.fchown(fd, *(owner or (0, 0)))
            finally:
                os.close(fd)
    finally:
        os.close(parent)
    return syscalls.openat2(top, path, flags, resolve=syscalls.RESOLVE_IN_ROOT)


def _is_folder(target: Target, path: str) -> bool:
    try:
        fd = syscalls.openat2(
            target.fd, path, os.O_PATH | os.O_DIRECTORY, resolve=syscalls.RESOLVE_IN_ROOT
        )
    except OSError:
        return False
    os.close(fd)
    return True


def _place(
    target: Target, source: Root, found: Found, destination: str, exclude: ignore.Ignored
) -> None:
    """Copy one file, or what is in one folder."""
    entries = selection.walk(source, found, exclude)
    first = next(entries, None)
    if first is None:
        return
    if not stat.S_ISDIR(first.status.st_mode):
        if destination.endswith("/") or _is_folder(target, destination):
            destination = posixpath.join(destination, found.name)
        above, _, name = destination.rpartition("/")
        with _opened(target, above) as into:
            _make(target, source, first, into, name)
        return
    # As docker does it: a destination that is missing is made, but not to be like the source.
    with _opened(target, destination) as into:
        _fill(target, source, entries, into)


@contextmanager
def _opened(target: Target, path: str) -> Iterator[int]:
    fd = _folder(target.fd, path, target.owner)
    try:
        yield fd
    finally:
        os.close(fd)


def _fill(target: Target, source: Root, entries: Iterator[Entry], into: int) -> None:
    """Copy what is below a folder into an open one."""
    folders: list[Entry] = []
    links: dict[tuple[int, int], str] = {}
    for entry in entries:
        above, _, name = entry.path.rpartition("/")
        folder = graft.descend(into, os.fsencode(above))
        try:
            same = (entry.status.st_dev, entry.status.st_ino)
            if stat.S_ISDIR(entry.status.st_mode):
                there = _exists(folder, name)
                _make(target, source, entry, folder, name)
                if not there:
                    folders.append(entry._replace(folder=os.dup(entry.folder)))
            elif entry.status.st_nlink > 1 and same in links:
                graft.link(into, os.fsencode(links[same]), folder, name)
            else:
                links[same] = entry.path
                _make(target, source, entry, folder, name)
        finally:
            os.close(folder)
    for entry in reversed(folders):
        above, _, name = entry.path.rpartition("/")
        folder = graft.descend(into, os.fsencode(above))
        try:
            _dress(target, source, entry, folder, name)
        finally:
            os.close(folder)
            os.close(entry.folder)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _make(target: Target, source: Root, entry: Entry, into: int, name: str) -> None:
    owner = target.owner or source.owner
    graft.make(entry.folder, entry.name, entry.status, into, name, owner)
    if not stat.S_ISDIR(entry.status.st_mode):
        _chmod(target, entry.status, into, name)


def _dress(target: Target, source: Root, entry: Entry, into: int, name: str) -> None:
    owner = target.owner or source.owner
    graft.dress(entry.folder, entry.name, entry.status, into, name, owner)
    _chmod(target, entry.status, into, name)


def _chmod(target: Target, status: os.stat_result, into: int, name: str) -> None:
    if not target.chmod or stat.S_ISLNK(status.st_mode):
        return
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=into)
    try:
        os.chmod(f"/proc/self/fd/{fd}", modes.changed(target.chmod, status.st_mode))
    finally:
        os.close(fd)


def _with_parents(
    target: Target, source: Root, name: str, step: Files, exclude: ignore.Ignored
) -> None:
    """Copy with the folders that a path goes through, from ``/./`` in it on."""
    pivot, mark, _ = name.partition("/./")
    start = posixpath.normpath("/" + pivot).lstrip("/") if mark else ""
    for found in selection.find(source, name):
        relative = found.path.removeprefix(start).lstrip("/")
        destination = posixpath.join(step.destination.rstrip("/") + "/", relative)
        _place(target, source, found, destination, exclude)


def _place_file(target: Target, path: str, step: Files) -> None:
    folder, name = os.path.split(path)
    with selection.opened(folder, ignore.Ignored(), (0, 0)) as root:
        _place(target, root, Found(name, name), step.destination, ignore.Ignored())


def _unpacked(target: Target, source: Root, found: Found, step: Files) -> bool:
    """Unpack what was found if it is an archive, and tell whether it was."""
    entries = selection.walk(source, found)  # the entry's folder is open as long as this is there
    entry = next(entries, None)
    if entry is None or not stat.S_ISREG(entry.status.st_mode):
        return False
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(entry.name, flags, dir_fd=entry.folder)
    try:
        return _unpack(target, fd, found.name, step)
    finally:
        os.close(fd)


def _unpack(target: Target, fd: int, name: str, step: Files) -> bool:
    form = compression.of_file(fd)
    size = os.fstat(fd).st_size
    path = f"{target.scratch}/unpacked.tar"
    plain = fd
    try:
        if form != "none":
            stream = compression.decompressed(FileStream(fd, 0, size, name), form, name)
            try:
                plain = spooled(stream, path, name)
            except InvalidArchive:
                return False
        if not is_tar(os.pread(plain, BLOCK, 0)):
            return False
        into = f"{target.scratch}/unpacked"
        os.makedirs(into, mode=0o755)
        extract.extract(members.Layer(plain, os.fstat(plain).st_size, name), into)
        with _opened(target, step.destination) as folder:
            below = os.open(into, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                graft.graft_content(below, folder, owner=target.owner)
            finally:
                os.close(below)
        return True
    finally:
        if plain != fd:
            os.close(plain)


def is_tar(head: bytes) -> bool:
    """Tell whether the first BLOCK is that of a tar (tar(5): the sum of a header is right)."""
    if len(head) < BLOCK or not any(head):
        return False
    said = head[148:156].strip(b"\0 ")
    total = sum(head) - sum(head[148:156]) + 8 * 32
    return bool(re.fullmatch(rb"[0-7]+", said)) and int(said, 8) == total
