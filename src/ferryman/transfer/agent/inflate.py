"""Undo what the line is compressed by: gzip, or zstd where this host has its library.

The standard library alone, as of Python 3.6: this file is sent to hosts.  Nearly every Linux has
libzstd, since its package manager is linked with it; few have the program zstd.
"""

import zlib
from typing import Any, Callable, Iterable, Iterator, List, Optional

PIECE = 1 << 20
"""How many bytes come out at once, at most."""
_LIBRARY = "libzstd.so.1"


class Damaged(Exception):
    """Why nothing comes out, in one line."""


def codecs() -> List[str]:
    """Return what can be undone here, the best first."""
    return ["zstd", "gzip"] if _zstd() else ["gzip"]


def inflated(pieces: Iterable[bytes], codec: str) -> Iterator[Any]:
    """Yield what pieces hold, in others of at most PIECE bytes; raises Damaged.

    Members of gzip, or frames of zstd, may stand one behind the other.  A piece that is given out
    is good until the next one is asked for.
    """
    if codec == "none":
        return iter(pieces)
    way = _gzip if codec == "gzip" else _zstd() if codec == "zstd" else None
    if way is None:
        raise Damaged("what arrives is compressed in a way that is unknown here")
    return way(pieces)


def _gzip(pieces: Iterable[bytes]) -> Iterator[Any]:
    inflate = zlib.decompressobj(31)
    fresh = True
    try:
        for content in pieces:
            while content:
                yield inflate.decompress(content, PIECE)
                fresh = inflate.eof
                content = inflate.unused_data if fresh else inflate.unconsumed_tail
                if fresh:
                    inflate = zlib.decompressobj(31)
    except zlib.error:
        raise Damaged("what arrives is damaged") from None
    if not fresh:
        raise Damaged("what arrives is truncated")


def _zstd() -> Optional[Callable[[Iterable[bytes]], Iterator[Any]]]:
    """Return what undoes zstd, if its library is here: zstd.h, "Streaming decompression"."""
    try:
        # Debian's python3-minimal does without it.
        import ctypes

        library = ctypes.CDLL(_LIBRARY)
        create, begin, free = (
            library.ZSTD_createDStream,
            library.ZSTD_initDStream,
            library.ZSTD_freeDStream,
        )
        decompress, is_error = library.ZSTD_decompressStream, library.ZSTD_isError
    except (ImportError, OSError, AttributeError):
        return None

    class Buffer(ctypes.Structure):
        """ZSTD_inBuffer and ZSTD_outBuffer, which are alike."""

        _fields_ = [
            ("start", ctypes.c_void_p),
            ("size", ctypes.c_size_t),
            ("pos", ctypes.c_size_t),
        ]

    create.restype = ctypes.c_void_p
    begin.argtypes = free.argtypes = [ctypes.c_void_p]
    begin.restype = decompress.restype = ctypes.c_size_t
    decompress.argtypes = [ctypes.c_void_p, ctypes.POINTER(Buffer), ctypes.POINTER(Buffer)]
    is_error.argtypes = [ctypes.c_size_t]

    def inflate(pieces: Iterable[bytes]) -> Iterator[Any]:
        room = ctypes.create_string_buffer(PIECE)
        view = memoryview(room).cast("B")
        stream = create()
        if not stream:
            raise MemoryError
        try:
            begin(stream)
            left = 0
            for content in pieces:
                start = ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p)
                taken = Buffer(start, len(content), 0)
                more = bool(content)
                while more:
                    made = Buffer(ctypes.addressof(room), PIECE, 0)
                    left = decompress(stream, ctypes.byref(made), ctypes.byref(taken))
                    if is_error(left):
                        raise Damaged("what arrives is damaged")
                    if made.pos:
                        yield view[: made.pos]
                    # Within a frame, where all the room is filled, more may come of what went in.
                    more = taken.pos < taken.size or (left > 0 and made.pos == PIECE)
            if left:
                raise Damaged("what arrives is truncated")
        finally:
            free(stream)

    return inflate
