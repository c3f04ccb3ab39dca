"""Compression: recognised by its first bytes, undone and done by native libraries.

One small table of algorithms; each library is imported when it is first needed.
"""

import os
import struct
from collections.abc import Callable
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

# Memory that a hostile header may make a decompressor use: `xz -9` needs 65 MiB, `zstd --long` 128.
_MAX_MEMORY = 128 << 20


def recognise(head: bytes) -> str:
    """Return how content that begins like this is compressed: "none", "gzip", "bzip2", …."""
    for name, magic in _MAGIC.items():
        if head.startswith(magic):
            return name
    # zstd may put frames without content in front; 16 magic numbers are set aside for those.
    if len(head) >= 4 and 0x184D2A50 <= struct.unpack("<I", head[:4])[0] <= 0x184D2A5F:
        return "zstd"
    return "none"


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
    """A stream in the form that the zstandard library reads from."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = memoryview(bytearray(CHUNK))
        self.ended = False

    def read(self, size: int) -> memoryview:
        n = self._stream.readinto(self._buffer[:size])
        self.ended = not n
        return self._buffer[:n]


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
