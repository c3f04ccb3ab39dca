"""Where the parts of an archive come from: one contract, three sources.

`TarSource` is a plain tar in a file, read in any order; `SpooledSource` is a tar that goes by once
(a pipe, or anything compressed); `FolderSource` is an image layout or unpacked archive on disk.
What is read of the contract is the same for each, and so is what is refused.
"""

import os
import posixpath
import stat
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ferryman.archive import intake, tar
from ferryman.archive.intake import Advance, Taken
from ferryman.archive.stream import CHUNK, BytesStream, FileStream, Stream
from ferryman.errors import InvalidArchive, InvalidImage
from ferryman.image import digest as digests
from ferryman.image.decode import MAX_JSON
from ferryman.image.digest import Digest
from ferryman.store import blobs
from ferryman.store.lease import Lease

_MAX_MEMBERS = 100_000
_MAX_LINKS = 16
_MAX_NAME = 1024
# Of a tar that goes by, members up to this size stay in memory, as long as they are few.
_SMALL = 64 << 10
_MAX_SMALL = 16 << 20


class Source(Protocol):
    """The parts of an archive by their names."""

    what: str

    def find(self, name: str) -> str | None:
        """Return the name under which a part really lies, links followed; None if it does not.

        Raises InvalidArchive for a name or a link that leads outside, and for a circle of links.
        """

    def size(self, found: str) -> int:
        """Return the size in bytes of a part that `find` found."""

    def document(self, name: str) -> bytes | None:
        """Return a part that is JSON, None when it is not there; raises InvalidArchive."""

    def blob(self, found: str, lease: Lease | None, algorithm: str, advance: Advance) -> Taken:
        """Take a part into the lease as it is; without one, only look at it."""

    def layer(self, found: str, lease: Lease | None, algorithm: str, advance: Advance) -> Taken:
        """Take a part into the lease as a layer, with its diff ID; see `blob`."""


def clean(name: bytes | str, what: str) -> str:
    """Return a member's name in its plain form; raises InvalidArchive for what leads outside."""
    text = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
    if len(text) > _MAX_NAME:
        raise InvalidArchive(f"{what}: name of {len(text)} characters, at most {_MAX_NAME} go")
    if any(character < " " or character == "\x7f" for character in text):
        raise InvalidArchive(f"{what}: name with control characters: {text[:200]!a}")
    if text.startswith("/"):
        raise InvalidArchive(f"{what}: absolute name {text[:200]!a}")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArchive(f"{what}: name that leads outside the archive: {text[:200]!a}")
    return "/".join(parts)


class _Link(NamedTuple):
    """A symbolic or hard link within an archive, its target as a name from the archive's root."""

    target: str


def _link(member: tar.Member, name: str, what: str) -> _Link:
    """Return where a link leads, as text: nothing in an archive is ever looked up on the disk."""
    if member.type == tar.HARDLINK:
        return _Link(clean(member.link, what))
    target = member.link.decode("utf-8", "surrogateescape")
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if joined.startswith(("/", "../")) or joined == "..":
        raise InvalidArchive(f"{what}: link {name!a} points outside the archive: {target[:200]!a}")
    return _Link(clean(joined, what))


def _follow(name: str, links: dict[str, _Link], what: str) -> str:
    first = name
    for _ in range(_MAX_LINKS):
        if name not in links:
            return name
        name = links[name].target
    raise InvalidArchive(f"{what}: link {first!a} leads round in a circle")


def _listed(stream: Stream, what: str) -> Iterator[tuple[str, tar.Member]]:
    """Yield the members of an archive that matter, with clean names; refuse what has no place."""
    for member in tar.members(stream, what, _MAX_MEMBERS):
        name = clean(member.name, what)
        if member.type == tar.FOLDER:
            continue
        if member.type not in (tar.FILE, tar.HARDLINK, tar.SYMLINK):
            raise InvalidArchive(f"{what}: {name!a} is neither a file, a folder nor a link")
        yield name, member


def _differ(what: str, name: str) -> InvalidArchive:
    return InvalidArchive(f"{what}: {name!a} is there twice, with different content")


class _Place(NamedTuple):
    """Where the content of a member lies in its file, and its size, both in bytes."""

    offset: int
    size: int


class TarSource:
    """A plain tar in a regular file: its headers are read, its content stays where it is."""

    def __init__(self, fd: int, what: str) -> None:
        """Read all headers; raises InvalidArchive."""
        self.what = what
        self._fd = fd
        self._files: dict[str, _Place] = {}
        self._links: dict[str, _Link] = {}
        stream = FileStream(fd, 0, os.fstat(fd).st_size, what)
        for name, member in _listed(stream, what):
            if member.is_file:
                place = _Place(member.offset, member.size)
                if name in self._links or (
                    name in self._files and not self._same(self._files[name], place)
                ):
                    raise _differ(what, name)
                self._files[name] = place
            else:
                link = _link(member, name, what)
                if name in self._files or self._links.get(name, link) != link:
                    raise _differ(what, name)
                self._links[name] = link
        for name in self._links:
            _follow(name, self._links, what)

    def _same(self, one: _Place, other: _Place) -> bool:
        if one.size != other.size:
            return False
        left, right = self._stream(one), self._stream(other)
        while piece := left.read(CHUNK):
            if piece != right.read(CHUNK):
                return False
        return True

    def _stream(self, place: _Place) -> Stream:
        return FileStream(self._fd, place.offset, place.size, self.what)

    def find(self, name: str) -> str | None:
        """Return the name under which a part really lies (see `Source`)."""
        found = _follow(clean(name, self.what), self._links, self.what)
        return found if found in self._files else None

    def size(self, found: str) -> int:
        """Return the size in bytes of a part."""
        return self._files[found].size

    def document(self, name: str) -> bytes | None:
        """Return a part that is JSON."""
        found = self.find(name)
        if found is None:
            return None
        place = self._files[found]
        _check_document(place.size, f"{self.what}: {found}")
        return self._stream(place).read(place.size)

    def content(self, found: str) -> Stream:
        """Return the content of a part, to be read from its beginning."""
        return self._stream(self._files[found])

    def blob(self, found: str, lease: Lease | None, algorithm: str, advance: Advance) -> Taken:
        """Take a part into the lease as it is."""
        place = self._files[found]
        what = f"{self.what}: {found}"
        return intake.take(
            self._stream(place), place.size, lease, what, algorithm=algorithm, advance=advance
        )

    def layer(self, found: str, lease: Lease | None, algorithm: str, advance: Advance) -> Taken:
        """Take a part into the lease as a layer."""
        place = self._files[found]
        what = f"{self.what}: {found}"
        return intake.take_layer(
            self._stream(place), place.size, lease, what, algorithm=algorithm, advance=advance
        )


class _Absent(NamedTuple):
    """A member that went by unread: it is here already, or only its size was asked for."""

    size: int
    digest: Digest | None = None


class SpooledSource:
    """A tar that goes by once: what may be needed is kept, in memory or in the lease's folder."""

    def __init__(
        self,
        stream: Stream,
        what: str,
        lease: Lease | None,
        advance: Advance = intake.nothing,
        *,
        check: bool = False,
    ) -> None:
        """Read the tar to its end.

        Without a lease only what is small is kept: enough to say what is in the archive; with
        `check`, the digests of all the rest are found out.  Raises InvalidArchive, StoreError.
        """
        self.what = what
        self._check = check
        self._store = lease and lease.store
        self._parts: dict[str, bytes | Taken | _Absent] = {}
        self._links: dict[str, _Link] = {}
        self._in_memory = 0
        for name, member in _listed(stream, what):
            if member.is_file:
                part = self._keep(stream, name, member.size, lease, advance)
                if name in self._links or (
                    name in self._parts and not _same_part(self._parts[name], part)
                ):
                    raise _differ(what, name)
                self._parts.setdefault(name, part)
            else:
                link = _link(member, name, what)
                if name in self._parts or self._links.get(name, link) != link:
                    raise _differ(what, name)
                self._links[name] = link
        for name in self._links:
            _follow(name, self._links, what)

    def _keep(
        self, stream: Stream, name: str, size: int, lease: Lease | None, advance: Advance
    ) -> bytes | Taken | _Absent:
        limit = _SMALL if lease else MAX_JSON
        if size <= limit and self._in_memory + size <= (_MAX_SMALL if lease else 4 * MAX_JSON):
            self._in_memory += size
            content = stream.read(size)
            if len(content) < size:
                raise InvalidArchive(f"{self.what} is truncated within {name!a}")
            return content
        if lease is None and not self._check:
            return _Absent(size)
        digest = _named_by(name)
        if lease and digest:
            lease.protect([digest])
            if blobs.size(lease.store, digest) == size:
                return _Absent(size, digest)
        # What is named by its digest may be wanted as it is: it need not be a layer.
        return intake.take_layer(
            stream,
            size,
            lease,
            f"{self.what}: {name}",
            algorithm=digest.algorithm if digest else "sha256",
            advance=advance,
            unpack=digest is None,
        )

    def find(self, name: str) -> str | None:
        """Return the name under which a part really lies (see `Source`)."""
        found = _follow(clean(name, self.what), self._links, self.what)
        return found if found in self._parts else None

    def size(self, found: str) -> int:
        """Return the size in bytes of a part."""
        part = self._parts[found]
        return len(part) if isinstance(part, bytes) else part.size

    def document(self, name: str) -> bytes | None:
        """Return a part that is JSON."""
        found = self.find(name)
        if found is None:
            return None
        part = self._parts[found]
        if isinstance(part, bytes):
            return part
        _check_document(part.size, f"{self.what}: {found}")
        if self._check:
            raise InvalidArchive(f"{self.what} has too many bytes of JSON documents")
        if isinstance(part, _Absent):
            if self._store and part.digest:
                return blobs.read(self._store, part.digest, MAX_JSON)
            return None
        with open(part.path, "rb") as f:
            return f.read(MAX_JSON)

    def blob(self, found: str, lease: Lease | None, algorithm: str, advance: Advance) -> Taken:
        """Give a part that was taken when it went by (see `Source`)."""
        part = self._parts[found]
        if isinstance(part, bytes):
            what = f"{self.what}: {found}"
            return intake.take(
                BytesStream(part), len(part), lease, what, algorithm=algorithm, advance=advance
            )
        if isinstance(part, _Absent):
            raise self._gone_by(found)
        advance(part.size)
        return part

    def layer(self, found: str, lease: Lease | None, algorithm: str, advance: Advance) -> Taken:
        """Give a layer that was taken when it went by (see `Source`)."""
        part = self._parts[found]
        what = f"{self.what}: {found}"
        if isinstance(part, Taken) and (part.diff_id or not part.path):
            advance(part.size)
            return part
        if isinstance(part, bytes):
            return intake.take_layer(
                BytesStream(part), len(part), lease, what, algorithm=algorithm, advance=advance
            )
        # It is on the disk, but what it unpacks to is not known yet.
        if isinstance(part, Taken):
            fd = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
        elif part.digest and lease:
            fd = blobs.open_blob(lease.store, part.digest)
        else:
            raise self._gone_by(found)
        with _OpenFile(fd) as file:
            stream = FileStream(fd, 0, file.size, what)
            return intake.take_layer(
                stream, file.size, lease, what, algorithm=algorithm, advance=advance
            )

    def _gone_by(self, found: str) -> InvalidArchive:
        return InvalidArchive(f"{self.what}: {found!a} is not what its name says")


def _same_part(one: bytes | Taken | _Absent, other: bytes | Taken | _Absent) -> bool:
    if isinstance(one, Taken) and isinstance(other, Taken):
        return one.digest == other.digest
    return one == other


def _named_by(name: str) -> Digest | None:
    """Return the digest that a name of the form ``blobs/<algorithm>/<encoded>`` promises."""
    parts = name.split("/")
    if len(parts) != 3 or parts[0] != "blobs":
        return None
    try:
        return digests.parse(f"{parts[1]}:{parts[2]}")
    except InvalidImage:
        return None


class FolderSource:
    """An image layout, or an archive that somebody unpacked, in a folder."""

    def __init__(self, path: str, what: str) -> None:
        """Read from a folder; links within it may lead to other places within it."""
        self.what = what
        self._root = os.path.realpath(path)

    def find(self, name: str) -> str | None:
        """Return the name under which a part really lies (see `Source`)."""
        path = os.path.realpath(os.path.join(self._root, clean(name, self.what)))
        if not path.startswith(self._root.rstrip("/") + "/"):
            raise InvalidArchive(f"{self.what}: {name!a} points outside the folder")
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise InvalidArchive(f"{self.what}: {name!a} is not a file")
        except OSError:
            return None
        return path.removeprefix(self._root.rstrip("/") + "/")

    def size(self, found: str) -> int:
        """Return the size in bytes of a part."""
        return os.stat(os.path.join(self._root, found)).st_size

    def document(self, name: str) -> bytes | None:
        """Return a part that is JSON."""
        found = self.find(name)
        if found is None:
            return None
        _check_document(size := self.size(found), f"{self.what}: {found}")
        with self._open(found) as part:
            return FileStream(part.fd, 0, size, self.what).read(size)

    def blob(self, found: str, lease: Lease | None, algorithm: str, advance: Advance) -> Taken:
        """Take a part into the lease as it is."""
        what = f"{self.what}: {found}"
        with self._open(found) as part:
            stream = FileStream(part.fd, 0, part.size, what)
            return intake.take(stream, part.size, lease, what, algorithm=algorithm, advance=advance)

    def layer(self, found: str, lease: Lease | None, algorithm: str, advance: Advance) -> Taken:
        """Take a part into the lease as a layer."""
        what = f"{self.what}: {found}"
        with self._open(found) as part:
            stream = FileStream(part.fd, 0, part.size, what)
            return intake.take_layer(
                stream, part.size, lease, what, algorithm=algorithm, advance=advance
            )

    def _open(self, found: str) -> "_OpenFile":
        # O_NOFOLLOW and O_NONBLOCK: what was a file a moment ago may be a link or a pipe by now.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(os.path.join(self._root, found), flags)
        except OSError as e:
            raise InvalidArchive(f"cannot read {self.what}: {found}: {e.strerror}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidArchive(f"cannot read {self.what}: {found}: not a file any more")
        return _OpenFile(fd)


class _OpenFile:
    """An open file that closes itself behind a with block."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size

    def __enter__(self) -> "_OpenFile":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _check_document(size: int, what: str) -> None:
    if size > MAX_JSON:
        raise InvalidArchive(f"{what} has {size} bytes, too many for a JSON document")
