"""An archive in volumes: ``app.tar.001`` and so on, and ``app.tar.sha256``, the list of them.

The list is what ``sha256sum`` writes and checks, and ``cat`` joins the volumes.  They come back
from wherever they were carried: in any order, on several media, some of them damaged.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ferryman.archive.intake import Advance
from ferryman.archive.stream import CHUNK, Stream
from ferryman.errors import FerryError, InvalidArchive, StoreError, UsageError
from ferryman.image import digest as digests
from ferryman.store.durable import sync_folder, write_all, write_back

LIST = ".sha256"
MAX_VOLUMES = 9_999
_MAX_LIST = 4 << 20
_NAME = re.compile(r"(.+)\.([0-9]{3,5})", re.DOTALL)
_LINE = re.compile(rb"([a-f0-9]{64}) [ *]([^/\0]+)")
_WRITE_BACK = 8 << 20


class CannotWriteVolume(FerryError):
    """A volume cannot be written where it was asked for."""


def volume_name(path: str, number: int, digits: int) -> str:
    """Return what a volume of an archive is called; numbers begin at 1."""
    return f"{path}.{number:0{digits}}"


def digits_for(size: int, volume: int) -> int:
    """Return how many digits the numbers of volumes have, so that ``cat`` gets them in order.

    `size` is the archive's and `volume` that of each, in bytes.  Raises UsageError when there would
    be too many.
    """
    # Compressed or encrypted, what cannot be made smaller grows a little.
    count = -(-(size + size // 100) // volume)
    if count > MAX_VOLUMES:
        raise UsageError(f"--split makes {count} volumes of it, at most {MAX_VOLUMES} go")
    return max(3, len(str(count)))


def line(digest: str, name: str) -> bytes:
    """Return a line of the list, as ``sha256sum`` writes it."""
    return f"{digest}  ".encode() + os.fsencode(name) + b"\n"


class VolumeSink:
    """An archive's way into volumes: each is written aside, synced and renamed."""

    def __init__(
        self,
        path: str,
        size: int,
        digits: int,
        wanted: Callable[[int], bool],
        finished: Callable[[int, str, Callable[[], None]], None],
    ) -> None:
        """Write `path` in volumes of `size` bytes, only those that are `wanted` by their numbers.

        `finished` is told of each its number and digest, and gives it its name by the function that
        comes with them.
        """
        self.count = 0
        """The volumes so far, those that were passed over among them."""
        self._path = path
        self._size = size
        self._digits = digits
        self._wanted = wanted
        self._finished = finished
        self._left = 0
        self._fd: int | None = None
        self._hash = digests.hasher()
        self._flushed = 0

    def write(self, content: bytes | memoryview) -> None:
        """Take some bytes."""
        view = memoryview(content)
        while view:
            n = self._room(len(view))
            self._put(view[:n])
            view = view[n:]

    def copy(self, fd: int, size: int, advance: Advance, start: int = 0) -> None:
        """Take `size` bytes of a file, from byte `start` on; what nobody wants is not read."""
        buffer = memoryview(bytearray(min(size, CHUNK)))
        done = 0
        while done < size:
            n = self._room(size - done)
            if self._fd is None:
                self._put(None, n)
            else:
                n = os.preadv(fd, [buffer[: min(n, len(buffer))]], start + done)
                if not n:
                    raise StoreError("a blob has become shorter while it was read")
                self._put(buffer[:n])
            done += n
            advance(n)

    def close(self) -> None:
        """Finish the last volume."""
        if self.count and self._left:
            self._finish()

    def give_up(self) -> None:
        """Leave nothing behind of a volume that is not whole."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        # Ctrl-C may have come just when it had been made, or had got its name.
        if self.count and self._wanted(self.count):
            with suppress(FileNotFoundError):
                os.unlink(self._aside())

    def _room(self, size: int) -> int:
        """Return how much of what is to come goes to this volume, which is begun if need be."""
        if not self._left:
            self.count += 1
            if self.count > MAX_VOLUMES:
                raise CannotWriteVolume(f"{self._path} has more than {MAX_VOLUMES} volumes")
            self._left = self._size
            if self._wanted(self.count):
                self._begin()
        return min(size, self._left)

    def _begin(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(self._aside(), flags, 0o600)
        except OSError as e:
            raise self._cannot(e) from None
        self._hash = digests.hasher()
        self._flushed = 0

    def _put(self, content: memoryview | None, size: int = 0) -> None:
        if content is not None:
            size = len(content)
        if self._fd is not None and content is not None:
            self._hash.update(content)
            try:
                write_all(self._fd, content)
                written = self._size - self._left + size
                if written - self._flushed >= _WRITE_BACK:
                    write_back(self._fd, self._flushed, written - self._flushed)
                    self._flushed = written
            except OSError as e:
                raise self._cannot(e) from None
        self._left -= size
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        self._left = 0
        if self._fd is None:
            return
        try:
            os.fsync(self._fd)
            aside, name = self._aside(), volume_name(self._path, self.count, self._digits)

            def give_name() -> None:
                os.rename(aside, name)
                sync_folder(os.path.dirname(name))

            self._finished(self.count, self._hash.hexdigest(), give_name)
        except OSError as e:
            raise self._cannot(e) from None
        os.close(self._fd)
        self._fd = None

    def _aside(self) -> str:
        # Always the same: what a run that was killed has left is written over by the next.
        return volume_name(self._path, self.count, self._digits) + ".part"

    def _cannot(self, error: OSError) -> CannotWriteVolume:
        name = volume_name(self._path, self.count, self._digits)
        advice = ""
        if error.errno == errno.EFBIG:
            advice = ": split it smaller, FAT has room for 4095M"
        return CannotWriteVolume(f"cannot write {name}: {error.strerror}{advice}")


class Volume(NamedTuple):
    """One volume: where it lies, and its sha256 in hexadecimal if there is a list."""

    number: int
    path: str
    digest: str | None


class Volumes(NamedTuple):
    """All volumes of an archive."""

    what: str
    """What the archive is called in errors."""
    volumes: tuple[Volume, ...]
    listed: bytes | None
    """The content of the list, which a signature is of."""
    list_path: str


def find(paths: Sequence[str]) -> Volumes | None:
    """Return the set of volumes that these files belong to; None when it is an archive in one.

    Where there is a list, it or one volume stands for all that lie beside it.  Raises UsageError
    for files that do not belong together, InvalidArchive for a list that is none and for volumes
    that are missing.
    """
    given: dict[int, str] = {}
    stems, lists = set[str](), list[str]()
    for path in paths:
        name = os.path.basename(path)
        if name.endswith(LIST):
            lists.append(path)
            stems.add(name.removesuffix(LIST))
        elif (match := _NAME.fullmatch(name)) and not os.path.isdir(path):
            given[int(match.group(2))] = path
            stems.add(match.group(1))
        elif len(paths) > 1:
            raise UsageError(f"{path} is no volume: several -i are volumes of one archive")
        else:
            return None
    if len(stems) != 1 or len(lists) > 1:
        raise UsageError(f"{paths[0]} and {paths[-1]} are not volumes of one archive")
    (stem,) = stems
    folders = list(dict.fromkeys(os.path.dirname(path) or "." for path in paths))
    listed_at = lists or [
        path for folder in folders if os.path.isfile(path := os.path.join(folder, stem + LIST))
    ]
    if listed_at:
        return _by_list(listed_at[0], given, folders)
    return _by_names(stem, given)


def _by_list(path: str, given: Mapping[int, str], folders: Sequence[str]) -> Volumes:
    try:
        with open(path, "rb") as f:
            content = f.read(_MAX_LIST + 1)
    except OSError as e:
        raise InvalidArchive(f"open {path}: {(e.strerror or '').lower()}") from None
    what = path.removesuffix(LIST)
    names = parsed(content, path)
    if extra := sorted(set(given) - set(names)):
        raise InvalidArchive(f"{given[extra[0]]} is not in the list {path}")
    found: dict[int, str] = dict(given)
    for number, (name, _) in names.items():
        for folder in folders:
            place = os.path.join(folder, name)
            if number not in found and os.path.isfile(place):
                found[number] = place
    _all_there(what, {number: name for number, (name, _) in names.items()}, found)
    volumes = tuple(Volume(n, found[n], digest) for n, (_, digest) in sorted(names.items()))
    return Volumes(what, volumes, content, path)


def _by_names(stem: str, given: Mapping[int, str]) -> Volumes | None:
    """Return what was given, all of it: what else has such a name may be another archive."""
    if len(given) < 2:
        return None
    what = os.path.join(os.path.dirname(next(iter(given.values()))), stem)
    if max(given) > MAX_VOLUMES:
        raise InvalidArchive(f"{what} has a volume {max(given)}, at most {MAX_VOLUMES} go")
    names = {n: volume_name(stem, n, 3) for n in range(1, max(given) + 1)}
    _all_there(what, names, given)
    return Volumes(what, tuple(Volume(n, given[n], None) for n in names), None, what + LIST)


def _all_there(what: str, names: Mapping[int, str], found: Mapping[int, str]) -> None:
    if missing := sorted(set(names) - set(found)):
        last = names[missing[-1]] if len(missing) == 1 else f"{names[missing[0]]}, …"
        raise InvalidArchive(f"{what}: {_numbers(missing)} missing ({last})")


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
    return f"volume {shown} is" if len(numbers) == 1 else f"volumes {shown} are"


def parsed(content: bytes, what: str) -> dict[int, tuple[str, str]]:
    """Return the names and digests of a list by the numbers of the volumes.

    Raises InvalidArchive, with `what` as its subject.
    """
    volumes: dict[int, tuple[str, str]] = {}
    stems = set[str]()
    for text in content.splitlines() if len(content) <= _MAX_LIST else ():
        if not text or text.startswith(b"#"):
            continue
        match = _LINE.fullmatch(text)
        name = os.fsdecode(match.group(2)) if match else ""
        numbered = _NAME.fullmatch(name)
        if match is None or numbered is None or int(numbered.group(2)) in volumes:
            raise InvalidArchive(f"{what} is no list of volumes: {text[:100]!a}")
        volumes[int(numbered.group(2))] = (name, match.group(1).decode())
        stems.add(numbered.group(1))
    if len(stems) != 1 or sorted(volumes) != list(range(1, len(volumes) + 1)):
        raise InvalidArchive(f"{what} is no list of all the volumes of an archive")
    return volumes


class JoinedStream(Stream):
    """The volumes of an archive, one after the other; each is checked once it has gone by."""

    def __init__(self, joined: Volumes) -> None:
        """Read from the first volume on."""
        super().__init__()
        self.length = sum(_size(volume.path) for volume in joined.volumes)
        self._joined = joined
        self._rest = list(reversed(joined.volumes))
        self._volume: Volume | None = None
        self._fd = -1
        self._hash = digests.hasher()
        self._bad: list[int] = []

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        n = self._next(view)
        if self._bad:
            self.settle()
        self._at += n
        return n

    def settle(self) -> None:
        """Read what is left; raises InvalidArchive that names all volumes that are damaged."""
        buffer = memoryview(bytearray(CHUNK))
        while self._next(buffer):
            continue
        if self._bad:
            why = "not to be read"
            if self._joined.listed is not None:
                why = "damaged: not what the list says"
            raise InvalidArchive(f"{self._joined.what}: {_numbers(sorted(self._bad))} {why}")

    def close(self) -> None:
        """Close the volume that is being read."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _next(self, view: memoryview) -> int:
        while True:
            if self._volume is None:
                if not self._rest:
                    return 0
                self._volume = self._rest.pop()
                self._hash = digests.hasher()
            n = self._read(self._volume, view)
            if n > 0:
                self._hash.update(view[:n])
                return n
            self.close()
            digest = self._volume.digest
            if n < 0 or (digest and self._hash.hexdigest() != digest):
                self._bad.append(self._volume.number)
            self._volume = None

    def _read(self, volume: Volume, view: memoryview) -> int:
        """Read on in a volume; -1 stands for one that cannot be read."""
        try:
            if self._fd < 0:
                self._fd = os.open(volume.path, os.O_RDONLY | os.O_CLOEXEC)
            return os.readv(self._fd, [view])
        except OSError:
            return -1


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def grouped(paths: Iterable[str]) -> list[list[str]]:
    """Return the paths of archives, those of volumes and lists of one archive together.

    Volumes of one name belong together on whatever media they are, unless one is there twice.
    """
    listed = list(dict.fromkeys(paths))
    twice = len({os.path.basename(path) for path in listed}) < len(listed)
    groups: dict[tuple[bool, str], list[str]] = {}
    for path in listed:
        stem = _stem(path)
        part = stem != path
        key = os.path.basename(stem) if part and not twice else stem
        groups.setdefault((part, key), []).append(path)
    return list(groups.values())


def _stem(path: str) -> str:
    match = _NAME.fullmatch(path)
    return match.group(1) if match else path.removesuffix(LIST)
