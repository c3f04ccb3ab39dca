"""Compression: recognised by its first bytes, undone and done by native libraries.

One small table of algorithms; each library is imported when it is first needed.
"""

import os
import struct
from collections.abc import Callable, Generator
from typing import IO, Protocol, cast

from ferryman.archive.stream import CHUNK, DecompressedStream, Readable, Stream
from ferryman.errors import UsageError

_MAGIC = {
    "gzip": b"\x1f\x8b\x08",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "zstd": b"\x28\xb5\x2f\xfd",
}
HEAD = 6
"""How many of the first bytes `recognise` needs."""

ENCRYPTED = (b"age-encryption.org/v", b"-----BEGIN AGE ENCRYPTED FILE-----")
"""How what age has encrypted begins."""

# Memory that a hostile header may make a decompressor use: `xz -9` needs 65 MiB, `zstd --long` 128.
_MAX_MEMORY = 128 << 20

# zstd may put frames without content in front; 16 magic numbers are set aside for those.
_SKIPPABLE = 0x184D2A50
_RUN = 1  # the kind of a zstd block that is one byte many times


def recognise(head: bytes) -> str:
    """Return how content that begins like this is compressed: "none", "gzip", "bzip2", …."""
    for name, magic in _MAGIC.items():
        if head.startswith(magic):
            return name
    if len(head) >= 4 and struct.unpack("<I", head[:4])[0] & ~0xF == _SKIPPABLE:
        return "zstd"
    return "none"


def of_file(fd: int) -> str:
    """Return how a file is compressed, by what it begins with; see `recognise`."""
    return recognise(os.pread(fd, HEAD, 0))


def decompressed(stream: Stream, compression: str, what: str) -> Stream:
    """Return the content of a compressed stream; with "none", the stream itself.

    What is read from it raises InvalidArchive, with `what` as the subject, when it is damaged.
    """
    if compression == "none":
        return stream
    source, errors = _DECOMPRESSORS[compression](stream)
    return DecompressedStream(source, f"{what} ({compression})", (*errors, EOFError))


class _Inflater(Protocol):
    """The interface that the decompressor objects of bz2, lzma and isal share."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Members:
    """The content of compressed members that stand one after the other."""

    def __init__(self, stream: Stream, inflater: Callable[[], _Inflater]) -> None:
        self._stream = stream
        self._new = inflater
        self._inflater = inflater()
        self._buffer = bytearray(CHUNK // 4)

    def readinto(self, view: memoryview) -> int:
        while True:
            if self._inflater.eof:
                rest = self._inflater.unused_data or self._more()
                # Zeros behind the last member are padding, by tapes and by block devices.
                if not rest.strip(b"\0"):
                    return 0
                self._inflater = self._new()
            else:
                rest = self._more() if self._inflater.needs_input else b""
                if self._inflater.needs_input and not rest:
                    raise EOFError("it ends too early")
            if content := self._inflater.decompress(rest, len(view)):
                view[: len(content)] = content
                return len(content)

    def _more(self) -> bytes:
        n = self._stream.readinto(memoryview(self._buffer))
        return bytes(memoryview(self._buffer)[:n])


def _gzip(stream: Stream) -> tuple[Readable, tuple[type[Exception], ...]]:
    from isal import igzip_lib

    def inflater() -> _Inflater:
        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    return _Members(stream, inflater), (cast(type[Exception], igzip_lib.error),)


def _bzip2(stream: Stream) -> tuple[Readable, tuple[type[Exception], ...]]:
    from bz2 import BZ2Decompressor

    return _Members(stream, BZ2Decompressor), (OSError, ValueError)


def _xz(stream: Stream) -> tuple[Readable, tuple[type[Exception], ...]]:
    from lzma import FORMAT_XZ, LZMADecompressor, LZMAError

    def inflater() -> _Inflater:
        return LZMADecompressor(FORMAT_XZ, memlimit=_MAX_MEMORY)

    return _Members(stream, inflater), (LZMAError,)


class _Source:
    """A stream in the form that the zstandard library reads from.

    The library takes any end for the end; so the frames are followed here as they go by.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = memoryview(bytearray(CHUNK))
        self._frames = _frames()
        self._next = next(self._frames)
        self._part = b""
        self._at = 0

    def read(self, size: int) -> memoryview:
        n = self._stream.readinto(self._buffer[:size])
        self._follow(self._buffer[:n])
        if not n and self._next != (self._at, _FRAME_HEAD):
            raise EOFError("it ends too early")
        return self._buffer[:n]

    def _follow(self, piece: memoryview) -> None:
        begin, self._at = self._at, self._at + len(piece)
        while (start := self._next[0] + len(self._part)) < self._at:
            self._part += piece[start - begin : self._next[0] + self._next[1] - begin]
            if len(self._part) < self._next[1]:
                return
            self._next, self._part = self._frames.send(self._part), b""


_FRAME_HEAD = 8


def _frames() -> Generator[tuple[int, int], bytes, None]:
    """Yield the (start, length) of what must be known of zstd frames: bytes to be sent in.

    The last frame was whole where the next one's `_FRAME_HEAD` would start (RFC 8878, section
    3.1).  What no frame may say is left for the library to find.
    """
    at = 0
    while True:
        head = yield at, _FRAME_HEAD  # no frame is shorter
        magic, size = struct.unpack("<II", head)
        if magic & ~0xF == _SKIPPABLE:
            at += 8 + size
            continue
        descriptor = head[4]
        single = descriptor >> 5 & 1
        at += 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + (single, 2, 4, 8)[descriptor >> 6]
        last = 0
        while not last:
            block = int.from_bytes((yield at, 3), "little")
            last, kind, size = block & 1, block >> 1 & 3, block >> 3
            at += 3 + (1 if kind == _RUN else size)
        at += 4 * (descriptor >> 2 & 1)


def _zstd(stream: Stream) -> tuple[Readable, tuple[type[Exception], ...]]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_MEMORY)
    source = cast(IO[bytes], _Source(stream))
    reader = decompressor.stream_reader(source, read_size=CHUNK, read_across_frames=True)
    return reader, (zstandard.ZstdError,)


_DECOMPRESSORS: dict[str, Callable[[Stream], tuple[Readable, tuple[type[Exception], ...]]]] = {
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
}


class Compressor(Protocol):
    """What compresses and writes on; closing it writes the rest, and leaves the file open."""

    def write(self, content: bytes | memoryview, /) -> object:
        """Take some bytes."""

    def close(self) -> None:
        """Write what is left."""


def parse_choice(text: str) -> tuple[str, int | None]:
    """Return algorithm and level of ``none``, ``gzip``, ``zstd`` or ``zstd:LEVEL``.

    Raises UsageError.
    """
    name, colon, level = text.partition(":")
    levels = _LEVELS.get(name)
    if levels is None or (colon and not (level.isdigit() and int(level) in levels)):
        known = ", ".join(f"{n}[:{r[0]}-{r[-1]}]" if r else n for n, r in sorted(_LEVELS.items()))
        raise UsageError(f'invalid compression "{text}": expected one of {known}')
    return name, int(level) if colon else None


_LEVELS = {"none": range(0), "gzip": range(4), "zstd": range(1, 20)}


def version(name: str) -> str:
    """Return what an algorithm's result depends on, beside the content and the level."""
    if name == "gzip":
        import isal

        return f"isal {isal.__version__}"
    if name == "zstd":
        import zstandard

        return f"zstd {zstandard.ZSTD_VERSION}"
    return ""


def compressor(fd: int, name: str, level: int | None, threads: int) -> Compressor:
    """Return what compresses to a descriptor, in that many threads.

    The result does not depend on the number of threads.
    """
    out = os.fdopen(os.dup(fd), "wb", buffering=CHUNK)
    if name == "gzip":
        return _Gzip(out, 1 if level is None else level, threads)
    import zstandard

    chosen = zstandard.ZstdCompressor(level=level or 3, threads=threads, write_checksum=True)
    return cast(Compressor, chosen.stream_writer(out, closefd=True))


def compressed(stream: Stream, name: str, level: int | None) -> Stream:
    """Return what a stream becomes when it is compressed: the same bytes each time."""
    if name == "gzip":
        from isal import isal_zlib

        gzip = isal_zlib.compressobj(1 if level is None else level, wbits=31)
        return _Compressed(stream, cast(_Deflater, gzip))
    import zstandard

    chosen = zstandard.ZstdCompressor(level=level or 3, write_checksum=True)
    return _Compressed(stream, chosen.compressobj())


class _Deflater(Protocol):
    """The interface that the compressor objects of zlib and zstandard share."""

    def compress(self, data: memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Compressed(Stream):
    """What a compressor makes of a stream, as it is asked for."""

    def __init__(self, stream: Stream, deflater: _Deflater) -> None:
        super().__init__()
        self._stream = stream
        self._deflater = deflater
        self._buffer = memoryview(bytearray(CHUNK))
        self._made = memoryview(b"")
        self._over = False

    def readinto(self, view: memoryview) -> int:
        while not self._made and not self._over:
            n = self._stream.readinto(self._buffer)
            self._over = not n
            made = self._deflater.compress(self._buffer[:n]) if n else self._deflater.flush()
            self._made = memoryview(made)
        n = min(len(view), len(self._made))
        view[:n] = self._made[:n]
        self._made = self._made[n:]
        self._at += n
        return n


class _Gzip:
    """gzip in threads; the library's own writer leaves the file that it was given open."""

    def __init__(self, out: IO[bytes], level: int, threads: int) -> None:
        from isal import igzip_threaded

        self._out = out
        self._gzip = igzip_threaded.open(  # type: ignore[no-untyped-call]
            out, "wb", compresslevel=level, threads=threads
        )

    def write(self, content: bytes | memoryview, /) -> object:
        return self._gzip.write(content)

    def close(self) -> None:
        try:
            self._gzip.close()
        finally:
            self._out.close()
