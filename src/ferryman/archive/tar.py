"""The tar format: members read one header at a time, and headers written (POSIX pax, ustar, GNU).

Own code rather than the standard library's because of three needs: names are bytes, nothing that
a header says is trusted before it is checked, and reading 10,000 headers must take milliseconds.
"""

import os
import struct
from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol
from zlib import adler32

from ferryman.errors import InvalidArchive

BLOCK = 512
END = bytes(2 * BLOCK)

FILE, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
)
SPARSE = b"S"
"""A sparse file as old GNU tar has it; its map is among the pax records, as newer ones have it."""
SPARSE_MAP = b"GNU.sparse.map"
FILES = (FILE, SPARSE)
"""What becomes a regular file."""
_FILE_TYPES = (b"0", b"\0", b"7")
_KNOWN_TYPES = frozenset((0, *b"01234567S"))

# A pax header or a long name beyond this is an attack on memory, not a name.
_MAX_EXTENSION = 1 << 20
# Records that hold for all members are looked at for each of them.
_MAX_COMMON = 4 << 10
_MAX_SIZE = 1 << 62
_MAX_SECONDS = 1 << 63
_MAX_OCTAL7, _MAX_OCTAL11 = 8**7, 8**11
_OCTAL = b"01234567"
_WINDOW = 4096  # a header often has one of pax before it, and what follows may be small
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")


class Member(NamedTuple):
    """One entry of a tar: what its header says, pax and GNU extensions applied."""

    name: bytes
    type: bytes
    size: int
    link: bytes
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    device: tuple[int, int]
    pax: dict[bytes, bytes]
    offset: int
    """Where the content begins, in bytes from the start of the archive."""

    @property
    def is_file(self) -> bool:
        """Tell whether the member is a regular file with content of its own."""
        return self.type == FILE


class Stream(Protocol):
    """Where a tar is read from: a file, a pipe, something that is being decompressed."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` only at the end."""

    def skip(self, size: int) -> int:
        """Pass over bytes and return how many there were to pass over."""

    def tell(self) -> int:
        """Return how many bytes have been read or passed over."""


def members(stream: Stream, what: str, limit: int) -> Iterator[Member]:
    """Yield the members of a tar; between two, the caller may read some of the member's content.

    Stops behind the end marker.  Raises InvalidArchive, with `what` as its subject, for a header
    that breaks the format, when the archive ends early (without its end marker too) and when it
    has more than `limit` members.
    """
    reading = _headers(what, limit)
    for step in reading:
        while not isinstance(step, Member):
            start, length = step
            ahead = start - stream.tell()
            content = stream.read(length) if ahead <= stream.skip(ahead) else b""
            try:
                step = reading.send(content)
            except StopIteration:
                return
        yield step


def members_in(fd: int, size: int, what: str, limit: int) -> Iterator[Member]:
    """Yield the members of a plain tar of `size` bytes in a file, as `members` does.

    Little is read but headers: some calls for each member, and those several at a time.
    """
    reading = _headers(what, limit)
    window, begin = b"", 0
    for step in reading:
        while not isinstance(step, Member):
            start, length = step
            at = start - begin
            content = window[at : at + length] if at >= 0 else b""
            if len(content) < length:
                try:
                    window = os.pread(fd, min(max(length, _WINDOW), max(0, size - start)), start)
                except OSError as e:
                    raise InvalidArchive(f"cannot read {what}: {e.strerror}") from None
                begin = start
                content = window[:length]
            try:
                step = reading.send(content)
            except StopIteration:
                return
        yield step


class Check:
    """The same reading for content that passes by: `see` each piece, then `finish`."""

    def __init__(self, what: str, limit: int) -> None:
        """Expect the first piece; `what` and `limit` as for `members`."""
        self._reading = _headers(what, limit)
        self._at = 0
        self._part = b""
        self._next()

    def see(self, piece: memoryview) -> None:
        """Look at the next piece of the tar; raises InvalidArchive."""
        begin, self._at = self._at, self._at + len(piece)
        while self._want is not None:
            start, length = self._want
            first = start + len(self._part) - begin
            if first >= len(piece):
                return
            self._part += piece[first : start + length - begin]
            if len(self._part) < length:
                return
            part, self._part = self._part, b""
            self._next(part)

    def finish(self) -> None:
        """Learn that there is no more; raises InvalidArchive when there should be."""
        while self._want is not None:
            part, self._part = self._part, b""
            self._next(part)

    def _next(self, part: bytes | None = None) -> None:
        try:
            step = self._reading.send(part)  # type: ignore[arg-type]
            while isinstance(step, Member):
                step = next(self._reading)
            self._want: tuple[int, int] | None = step
        except StopIteration:
            self._want = None


def _headers(what: str, limit: int) -> Generator[Member | tuple[int, int], bytes, None]:
    """Yield members, and between them the (start, length) of the bytes to be sent in next.

    What is sent is shorter only where the archive ends.
    """
    extension = _Extension()
    count = 0
    at = 0
    while True:
        block = yield at, BLOCK
        if len(block) < BLOCK:
            raise _ends_early(what, at + len(block))
        if not block.strip(b"\0"):
            if (yield at + BLOCK, BLOCK) != bytes(BLOCK):
                raise _ends_early(what, at + BLOCK)
            return
        if not _sums_up(block):
            raise InvalidArchive(
                f"{what}: not a tar header (its checksum is wrong) at byte {at}"
                if at
                else f"{what} is not a tar archive"
            )
        try:
            type = block[156:157]
            if type in b"xgLK":
                size = _number(block[124:136])
                if not 0 <= size <= _MAX_EXTENSION:
                    raise ValueError(f"extended header of {size} bytes is too large")
                content = yield at + BLOCK, size
                if len(content) < size:
                    raise _ends_early(what, at + BLOCK)
                extension.take(type, content)
                at += BLOCK + padded(size)
                continue
            member = _parse(block, at + BLOCK)
            offset = at + BLOCK
            sparse = {}
            if member.type == SPARSE:
                entries = [block[386:482]]
                real_size = _number(block[483:495])
                more = block[482]
                while more:  # old GNU tar continues a sparse map in blocks of its own
                    block = yield offset, BLOCK
                    if len(block) < BLOCK:
                        raise _ends_early(what, offset)
                    offset += BLOCK
                    entries.append(block[:504])
                    if len(entries) * BLOCK > _MAX_EXTENSION:
                        raise ValueError("sparse map is too large")
                    more = block[504]
                sparse = {SPARSE_MAP: _old_map(entries), b"GNU.sparse.size": b"%d" % real_size}
                member = member._replace(offset=offset)
            member = extension.apply(member)
            if sparse:
                member = member._replace(pax=member.pax | sparse)
        except ValueError as e:
            raise InvalidArchive(f"{what}: {e} at byte {at}") from None
        extension = extension.next()
        count += 1
        if count > limit:
            raise InvalidArchive(f"{what} has more than {limit} members")
        yield member
        at = offset + padded(member.size)


def _ends_early(what: str, at: int) -> InvalidArchive:
    if not at:
        return InvalidArchive(f"{what} is empty")
    if at < BLOCK:
        return InvalidArchive(f"{what} is not a tar archive, or truncated: it has {at} bytes")
    return InvalidArchive(
        f"{what} is truncated: it ends within a member or before the end marker, at byte {at}"
    )


def padded(size: int) -> int:
    """Return the size in bytes with the padding to a whole block."""
    return size + -size % BLOCK


class _Extension:
    """What pax and GNU headers say of the member that follows them."""

    def __init__(self, common: dict[bytes, bytes] | None = None) -> None:
        self._common = common or {}
        self._pax: dict[bytes, bytes] = {}
        self._name: bytes | None = None
        self._link: bytes | None = None

    def next(self) -> "_Extension":
        return _Extension(self._common)

    def take(self, type: bytes, content: bytes) -> None:
        if type == b"L":
            self._name = content.rstrip(b"\0")
        elif type == b"K":
            self._link = content.rstrip(b"\0")
        elif type == b"g":
            self._common = self._common | _records(content)
            if sum(len(key) + len(value) for key, value in self._common.items()) > _MAX_COMMON:
                raise ValueError(f"global headers of more than {_MAX_COMMON} bytes")
        else:
            self._pax = _records(content)

    def apply(self, member: Member) -> Member:
        if self._name is not None:
            member = member._replace(name=self._name)
        if self._link is not None:
            member = member._replace(link=self._link)
        pax = self._common | self._pax if self._common else self._pax
        if pax:
            member = Member(
                # A sparse file's header, and its path, may carry a name made up for old readers.
                pax.get(b"GNU.sparse.name") or pax.get(b"path") or member.name,
                member.type,
                _decimal(pax, b"size", member.size),
                pax.get(b"linkpath") or member.link,
                member.mode,
                _decimal(pax, b"uid", member.uid),
                _decimal(pax, b"gid", member.gid),
                _nanoseconds(pax[b"mtime"]) if pax.get(b"mtime") else member.mtime_ns,
                member.device,
                pax,
                member.offset,
            )
        if b"\0" in member.name or b"\0" in member.link:
            raise ValueError("name with a NUL character")
        if not member.name:
            raise ValueError("member without a name")
        # Only files have content; what other types claim as size is not followed by any.
        if member.type not in FILES and member.size:
            member = member._replace(size=0)
        # A folder written as a file, as tar did before folders had a type of their own.
        if member.type == FILE and member.name.endswith(b"/"):
            member = member._replace(type=FOLDER, size=member.size)
        return member


def _records(content: bytes) -> dict[bytes, bytes]:
    """Read pax records: ``length key=value\\n`` (POSIX.1-2001, pax, "Extended Header")."""
    records: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 20)
        length = content[at:space] if space > at else b""
        if not length.isdigit():
            if not content[at:].strip(b"\0"):
                break
            raise ValueError("invalid pax header")
        end = at + int(length)
        if end > len(content) or end <= space or content[end - 1 : end] != b"\n":
            raise ValueError("invalid pax header")
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not equals:
            raise ValueError("invalid pax header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse.append(value)  # the map of version 0.0: these two, again and again
        else:
            records[key] = value
        at = end
    if sparse:
        records[SPARSE_MAP] = b",".join(sparse)
    return records


def _old_map(entries: list[bytes]) -> bytes:
    """Return the sparse map of old GNU tar as version 0.1 of the pax format writes it."""
    numbers: list[bytes] = []
    for block in entries:
        for at in range(0, len(block), 24):
            if not block[at]:
                break  # unused
            numbers += (
                b"%d" % _number(block[at : at + 12]),
                b"%d" % _number(block[at + 12 : at + 24]),
            )
    return b",".join(numbers)


def _decimal(pax: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
    text = pax.get(key)
    if not text:  # an empty record takes nothing away: so docker reads it
        return otherwise
    if not text.isdigit() or len(text) > 20 or int(text) >= _MAX_SIZE:
        raise ValueError(f"impossible {key.decode()} {text[:40].decode('latin-1')!r}")
    return int(text)


def _nanoseconds(text: bytes) -> int:
    """Read a pax time, decimal seconds, without a detour through floating point."""
    negative = text.startswith(b"-")
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    if (
        not whole.isdigit()
        or (fraction and not fraction.isdigit())
        or len(whole) > 20
        or int(whole) > _MAX_SECONDS
    ):
        raise ValueError(f"impossible mtime {text[:40].decode('latin-1')!r}")
    value = int(whole) * 10**9 + int(fraction[:9].ljust(9, b"0") or 0)
    return -value if negative else value


def _parse(block: bytes, offset: int) -> Member:
    (
        name,
        mode,
        uid,
        gid,
        size,
        mtime,
        _checksum,
        type,
        link,
        magic,
        _version,
        _uname,
        _gname,
        major,
        minor,
        prefix,
    ) = _HEADER.unpack(block)
    if type[0] not in _KNOWN_TYPES:
        raise ValueError(f"unknown member type {type.decode('latin-1')!r}")
    name = name.split(b"\0", 1)[0]
    if magic == b"ustar\0" and (start := prefix.split(b"\0", 1)[0]):
        name = start + b"/" + name
    length = _number(size)
    if not 0 <= length < _MAX_SIZE:
        raise ValueError(f"impossible size {length}")
    device = (0, 0)
    if type in (CHARACTER, BLOCK_DEVICE):
        device = (_number(major), _number(minor))
        if not (0 <= device[0] < _MAX_OCTAL7 and 0 <= device[1] < _MAX_OCTAL7):
            raise ValueError(f"impossible device {device[0]}:{device[1]}")
    owner, group, seconds = _number(uid), _number(gid), _number(mtime)
    if owner < 0 or group < 0:
        raise ValueError(f"impossible owner {owner}:{group}")
    if abs(seconds) > _MAX_SECONDS:
        raise ValueError(f"impossible mtime {seconds}")
    return Member(
        name,
        FILE if type in _FILE_TYPES else type,
        length,
        link.split(b"\0", 1)[0],
        _number(mode) & 0o7777,
        owner,
        group,
        seconds * 10**9,
        device,
        {},
        offset,
    )


def _sums_up(block: bytes) -> bool:
    checksum = block[148:156]
    total = _sum(block) - sum(checksum) + 8 * 0x20
    try:
        stored = _number(checksum)
    except ValueError:
        return False
    if stored == total:
        return True
    # Some old programs sum up signed bytes.
    high = sum(byte > 127 for byte in block) - sum(byte > 127 for byte in checksum)
    return stored == total - 256 * high


def _sum(block: bytes) -> int:
    """Return the sum of a block's bytes, several times as fast as `sum` does."""
    # The lower half of Adler-32 is one more than the sum, as long as that has room there.
    return (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2


def _number(field: bytes) -> int:
    """Read an octal number, or a base-256 one as GNU tar writes when octal has no room."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
        if field[0] & 0x40:  # negative, in two's complement
            value -= 1 << (8 * len(field) - 1)
        return value
    text = field.rstrip(b" \0")
    # What int() would take beyond octal digits (signs, underscores) is no part of a number here.
    if text.strip(_OCTAL):
        text = text.lstrip(b" \0").split(b"\0", 1)[0]
        if text.strip(_OCTAL):
            raise ValueError("not a number in a header")
    return int(text or b"0", 8)


# What a header says by itself.
_OWN = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))


def header(member: Member) -> bytes:
    """Return the header of any member, with a pax header in front of it where one is needed.

    Pax records that came with the member (xattrs among them) are kept; times are exact to the
    nanosecond.
    """
    records = {
        key: value
        for key, value in member.pax.items()
        if key not in _OWN and not key.startswith(b"GNU.sparse.")
    }
    seconds, nanoseconds = divmod(member.mtime_ns, 10**9)
    if nanoseconds or seconds < 0 or seconds >= _MAX_OCTAL11:
        records[b"mtime"] = _decimal_time(member.mtime_ns)
    if len(member.name) > 100:
        records[b"path"] = member.name
    if len(member.link) > 100:
        records[b"linkpath"] = member.link
    for key, value in ((b"uid", member.uid), (b"gid", member.gid)):
        if value >= _MAX_OCTAL7:
            records[key] = b"%d" % value
    if member.size >= _MAX_OCTAL11:
        records[b"size"] = b"%d" % member.size
    return _pax(records) + _block(
        name=member.name[:100],
        type=member.type,
        size=min(member.size, _MAX_OCTAL11 - 1),
        mode=member.mode,
        uid=min(member.uid, _MAX_OCTAL7 - 1),
        gid=min(member.gid, _MAX_OCTAL7 - 1),
        mtime=min(max(seconds, 0), _MAX_OCTAL11 - 1),
        link=member.link[:100],
        device=member.device,
    )


def _decimal_time(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    return sign + (b"%d.%09d" % (seconds, rest)).rstrip(b"0").rstrip(b".")


def _pax(records: dict[bytes, bytes]) -> bytes:
    if not records:
        return b""
    content = b"".join(_record(key, records[key]) for key in sorted(records))
    block = _block(name=b"PaxHeaders.0/x", type=b"x", size=len(content))
    return block + content.ljust(padded(len(content)), b"\0")


def _record(key: bytes, value: bytes) -> bytes:
    text = b" " + key + b"=" + value + b"\n"
    size = len(text) + 1
    while len(b"%d" % size) + len(text) != size:
        size = len(b"%d" % size) + len(text)
    return b"%d" % size + text


def _block(
    *,
    name: bytes,
    type: bytes,
    size: int,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    block = _HEADER.pack(
        name,
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % gid,
        b"%011o\0" % size,
        b"%011o\0" % mtime,
        b" " * 8,
        type,
        link,
        b"ustar\0",
        b"00",
        b"",
        b"",
        b"%07o\0" % device[0],
        b"%07o\0" % device[1],
        b"",
    )
    return b"%b%06o\0 %b" % (block[:148], _sum(block), block[156:])


def file_header(name: str, size: int) -> bytes:
    """Return the header of a root-owned file of the year 1970, mode 0644."""
    return header(_plain(name, FILE, size, 0o644))


def folder_header(name: str) -> bytes:
    """Return the header of a root-owned folder of the year 1970; the name ends with a slash."""
    return header(_plain(name, FOLDER, 0, 0o755))


def _plain(name: str, type: bytes, size: int, mode: int) -> Member:
    return Member(name.encode(), type, size, b"", mode, 0, 0, 0, (0, 0), {}, 0)
