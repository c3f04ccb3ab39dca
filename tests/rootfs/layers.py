"""Layers made up member by member, honest ones and others."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ferryman.archive import tar
from ferryman.archive.tar import Member
from ferryman.rootfs.members import Layer

CAPABILITY = struct.pack("<I4I", 0x02000001, 1 << 10, 0, 0, 0)
SPARSE_FORMS = ("gnu", "0.0", "0.1", "1.0")


class Item(NamedTuple):
    """A member of a layer, with its content."""

    member: Member
    content: bytes = b""
    header: bytes = b""
    """What stands for the member in the tar, where that is not what `tar.header` makes of it."""


def item(
    name: bytes,
    type: bytes = tar.FILE,
    content: bytes = b"",
    *,
    link: bytes = b"",
    xattrs: dict[bytes, bytes] | None = None,
    mode: int = 0o644,
    owner: tuple[int, int] = (0, 0),
    mtime_ns: int = 0,
    device: tuple[int, int] = (0, 0),
) -> Item:
    pax = {b"SCHILY.xattr." + key: value for key, value in (xattrs or {}).items()}
    return Item(
        Member(name, type, len(content), link, mode, *owner, mtime_ns, device, pax, 0), content
    )


def folder(name: bytes, **fields: Any) -> Item:
    return item(name, tar.FOLDER, **({"mode": 0o755} | fields))


def symlink(name: bytes, to: bytes) -> Item:
    return item(name, tar.SYMLINK, link=to, mode=0o777)


def hardlink(name: bytes, to: bytes, **fields: Any) -> Item:
    return item(name, tar.HARDLINK, link=to, **fields)


def spoiled(made: Item, place: int, field: bytes) -> Item:
    """Return an item whose header has other bytes in one place; the sum is made right."""
    header = bytearray(made.header or tar.header(made.member))
    at = len(header) - tar.BLOCK
    header[at + place : at + place + len(field)] = field
    header[at:] = _summed(header[at:])
    return made._replace(header=bytes(header))


def extended(made: Item, records: dict[bytes, bytes]) -> Item:
    """Return an item with these records, and no others, in front of its header."""
    return made._replace(header=_pax(records.items()) + tar.header(made.member._replace(pax={})))


def sparse(
    form: str,
    name: bytes,
    size: int,
    pieces: Sequence[tuple[int, bytes]],
    *,
    said: Sequence[int] | None = None,
    **fields: Any,
) -> Item:
    """Return a sparse file in one of the `SPARSE_FORMS`, as GNU tar writes it, of 1970 or later.

    `pieces` are what is no hole, each with its place in the file.  `said` is what the map says
    in truth's stead: places and lengths in turn.
    """
    numbers = [n for at, piece in pieces for n in (at, len(piece))]
    if not numbers or sum(numbers[-2:]) < size:
        numbers += [size, 0]  # by which tar knows of a hole at the end
    numbers = numbers if said is None else list(said)
    content = b"".join(piece for _, piece in pieces)
    if form == "1.0":
        lines = b"".join(b"%d\n" % n for n in (len(numbers) // 2, *numbers))
        content = lines.ljust(tar.padded(len(lines)), b"\0") + content
    made = item(name, tar.FILE, content, **fields)
    records = list(made.member.pax.items())
    if made.member.mtime_ns % 10**9:
        records.append((b"mtime", b"%d.%09d" % divmod(made.member.mtime_ns, 10**9)))
    if form == "gnu":
        made = made._replace(member=made.member._replace(type=tar.SPARSE))
        block, more = _old_sparse(tar.header(made.member)[-tar.BLOCK :], size, numbers)
        pax = _pax(records) if records else b""
        return made._replace(header=pax + block + more)
    count = b"%d" % (len(numbers) // 2)
    if form == "1.0":
        records += [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
        records += [(b"GNU.sparse.name", name), (b"GNU.sparse.realsize", b"%d" % size)]
    else:
        records += [(b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.numblocks", count)]
    if form == "0.0":
        for n, number in enumerate(numbers):
            key = b"GNU.sparse.numbytes" if n % 2 else b"GNU.sparse.offset"
            records.append((key, b"%d" % number))
    if form == "0.1":
        joined = b",".join(b"%d" % n for n in numbers)
        records += [(b"GNU.sparse.name", name), (b"GNU.sparse.map", joined)]
    called = name if form == "0.0" else b"GNUSparseFile.0/" + name
    header = tar.header(made.member._replace(pax={}, name=called[:100]))
    if form == "0.0" and len(name) > 100:
        records.append((b"path", name))
    return made._replace(header=_pax(records) + header[-tar.BLOCK :])


def _old_sparse(block: bytes, size: int, numbers: Sequence[int]) -> tuple[bytes, bytes]:
    """Return a header in old GNU tar's form, and the blocks with the rest of its map."""
    entries = [_field(n) for n in numbers]
    pairs = [b"".join(entries[n : n + 2]) for n in range(0, len(entries), 2)]
    first, rest = pairs[:4], pairs[4:]
    header = bytearray(block)
    header[257:265] = b"ustar  \0"
    header[345:512] = bytes(167)
    header[386:482] = b"".join(first).ljust(96, b"\0")
    header[482] = bool(rest)
    header[483:495] = _field(size)
    more = b""
    for n in range(0, len(rest), 21):
        flag = b"\1" if n + 21 < len(rest) else b"\0"
        more += (b"".join(rest[n : n + 21]).ljust(504, b"\0") + flag).ljust(512, b"\0")
    return _summed(header), more


def _field(number: int) -> bytes:
    """Return twelve bytes of a header: octal, or base 256 where there is no room for that."""
    return b"%011o\0" % number if number < 8**11 else b"\x80" + number.to_bytes(11, "big")


def _pax(records: Any) -> bytes:
    content = b""
    for key, value in records:
        rest = len(key) + len(value) + 3
        length = rest + len(b"%d" % rest)
        length = rest + len(b"%d" % length)
        content += b"%d %b=%b\n" % (length, key, value)
    name = item(b"PaxHeaders/x")
    block = bytearray(tar.header(name.member._replace(size=len(content))))
    block[156:157] = b"x"
    return _summed(block) + content.ljust(tar.padded(len(content)), b"\0")


def _summed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def packed(*items: Item) -> bytes:
    """Return a layer's tar."""
    return b"".join(map(_member, items)) + tar.END


def write(path: Path, *items: Item) -> Path:
    """Write a layer's tar."""
    with open(path, "wb") as f:
        f.writelines(map(_member, items))
        f.write(tar.END)
    return path


def _member(made: Item) -> bytes:
    header = made.header or tar.header(made.member)
    return header + made.content.ljust(tar.padded(len(made.content)), b"\0")


def acl(mode: int, uid: int) -> bytes:
    """Return an access control list of a file of this mode: another user may read it, too."""
    entries = [
        (1, mode >> 6 & 7, 0xFFFFFFFF),
        (2, 4, uid),
        (4, 0, 0xFFFFFFFF),
        (16, mode >> 3 & 7, 0xFFFFFFFF),
        (32, mode & 7, 0xFFFFFFFF),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@contextmanager
def opened(path: Path) -> Iterator[Layer]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield Layer(fd, os.fstat(fd).st_size, "the layer")
    finally:
        os.close(fd)
