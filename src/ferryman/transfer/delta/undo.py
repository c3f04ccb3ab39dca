"""Undo a delta: write the layer that it describes, from the layers that are here already.

The standard library alone, as of Python 3.6, and nothing of ferryman: this file is also sent to
hosts, as it is.  The format is described in docs/delta-format.md.  A delta is a stranger's: every
number in it has a bound, memory does not grow with the layers, and what comes out is checked.
"""

import contextlib
import hashlib
import json
import os
import re
import struct
import sys
import tempfile
import zlib
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

MAGIC = b"ferry-delta\n"
VERSION = 1
START = struct.Struct("<12sII")
BLOCK = struct.Struct("<IIII")
END = bytes(BLOCK.size)
MAX_HEADER = 64 << 10
MAX_BLOCK = 4 << 20
MAX_GROWTH = 64 << 10
"""How many bytes a block may be larger when it is compressed."""
COPY, CHANGE, LITERAL = 0, 1, 2
LZMA_DICTIONARY = 4 << 20

_PIECE = 1 << 20
_MAX_SIZE = 1 << 62
_MAX_NUMBER = 10
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class DeltaError(Exception):
    """Why a delta cannot be undone, in one line."""


class Layer(NamedTuple):
    """A layer by what its tar is."""

    diff_id: str
    size: int


class Region(NamedTuple):
    """Where the tar of a layer lies: an open file, and from which byte on."""

    fd: int
    start: int
    size: int


class Header(NamedTuple):
    """What a delta says of itself."""

    bases: Tuple[Layer, ...]
    result: Layer
    compression: str


def undo(
    delta: Any, find: Callable[[str], Optional[Region]], write: Callable[[bytes], object]
) -> Layer:
    """Write the result of the delta that is read from `delta`, and return what it is.

    `delta` is anything with ``read``, and is read no further than to the delta's end; `find` gives
    the base of a diff ID, or None; `write` takes each piece whole.  What was written is good only
    once this has returned.  Raises DeltaError, and OSError of the files.
    """
    source = _Source(delta)
    header = _header(source)
    decompress = _DECOMPRESS.get(header.compression)
    if decompress is None:
        raise DeltaError(f"compressed in an unknown way: {header.compression[:40]!r}")
    result = _Result(header.result, write)
    made = _Made(_Bases([_found(base, find) for base in header.bases]), result)
    while True:
        sizes = source.read(BLOCK.size)
        if sizes == END:
            break
        instructions, differences, literals, compressed = BLOCK.unpack(sizes)
        size = instructions + differences + literals
        if not instructions or size > MAX_BLOCK or compressed > size + MAX_GROWTH:
            raise DeltaError("damaged: a block of an impossible size")
        content = decompress(source.read(compressed), size)
        if len(content) != size:
            raise DeltaError("damaged: a block is not as long as it says")
        made.take(content, instructions, instructions + differences)
    expected = source.digest()
    if source.read(len(expected)) != expected:
        raise DeltaError("damaged: its checksum is wrong")
    result.finish()
    return header.result


def read_header(delta: Any) -> Header:
    """Return what a delta says of itself, which is not checked against anything.

    Raises DeltaError.
    """
    return _header(_Source(delta))


class _Source:
    """What the delta is read from, hashed on the way."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return so many bytes; raises DeltaError when there are fewer."""
        pieces = []
        while size:
            piece = self._stream.read(min(size, _PIECE))
            if not piece:
                raise DeltaError("truncated")
            pieces.append(piece)
            size -= len(piece)
        content = b"".join(pieces)
        self._hash.update(content)
        return content

    def digest(self) -> bytes:
        """Return the SHA-256 of all that was read."""
        return self._hash.digest()


def _header(source: _Source) -> Header:
    magic, version, size = START.unpack(source.read(START.size))
    if magic != MAGIC:
        raise DeltaError("not a delta")
    if version != VERSION:
        raise DeltaError(f"version {version} of the format is newer than this ferry")
    if size > MAX_HEADER:
        raise DeltaError(f"damaged: a header of {size} bytes")
    try:
        found = json.loads(source.read(size).decode())
        bases = tuple(_layer(base) for base in found["bases"])
        return Header(bases, _layer(found["result"]), str(found["compression"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DeltaError("damaged: its header is invalid") from None


def _layer(found: Dict[str, Any]) -> Layer:
    diff_id, size = found["diff_id"], found["size"]
    if not _DIGEST.fullmatch(diff_id) or type(size) is not int or not 0 <= size < _MAX_SIZE:
        raise ValueError
    return Layer(diff_id, size)


def _found(base: Layer, find: Callable[[str], Optional[Region]]) -> Region:
    region = find(base.diff_id)
    if region is None:
        raise DeltaError(f"its base {base.diff_id} is not here")
    if region.size != base.size:
        raise DeltaError(f"its base {base.diff_id} has {region.size} bytes here, not {base.size}")
    return region


class _Bases:
    """The bases, as if they were one behind the other."""

    def __init__(self, regions: List[Region]) -> None:
        self._regions = regions
        self.size = sum(region.size for region in regions)

    def read(self, at: int, size: int) -> Iterator[bytes]:
        """Yield so many bytes, in pieces; they are within the bases."""
        for region in self._regions:
            while size and at < region.size:
                n = min(size, region.size - at, _PIECE)
                piece = os.pread(region.fd, n, region.start + at)
                if not piece:
                    raise DeltaError("a base ends early")
                yield piece
                at += len(piece)
                size -= len(piece)
            at -= region.size
            if not size:
                return


class _Result:
    """What is written: hashed on the way, and no longer than it may be."""

    def __init__(self, layer: Layer, write: Callable[[bytes], object]) -> None:
        self._layer = layer
        self._write = write
        self._hash = hashlib.new(layer.diff_id.partition(":")[0])
        self._left = layer.size
        self._pieces = []  # type: List[bytes]
        self._gathered = 0

    def reserve(self, size: int) -> None:
        """Make sure that there may be so many more; raises DeltaError."""
        if size > self._left:
            raise DeltaError(f"damaged: it makes more than the {self._layer.size} bytes it says")
        self._left -= size

    def add(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(piece)
        self._gathered += len(piece)
        if self._gathered >= _PIECE:
            self._flush()

    def _flush(self) -> None:
        content = b"".join(self._pieces)
        self._pieces = []
        self._gathered = 0
        self._hash.update(content)
        self._write(content)

    def finish(self) -> None:
        """Write the rest, and check it all; raises DeltaError."""
        self._flush()
        if self._left:
            raise DeltaError(f"damaged: it makes fewer than the {self._layer.size} bytes it says")
        if self._layer.diff_id.partition(":")[2] != self._hash.hexdigest():
            raise DeltaError(f"what it makes of the bases here is not {self._layer.diff_id}")


class _Made:
    """The result as it is made, block by block."""

    def __init__(self, bases: _Bases, result: _Result) -> None:
        self._bases = bases
        self._result = result
        self._at = 0

    def take(self, block: bytes, differences: int, literals: int) -> None:
        """Follow a block's instructions; the others say where its next parts begin."""
        bases, result, at = self._bases, self._result, self._at
        i, end = 0, differences
        change, literal = differences, literals
        while i < end:
            number, i = _number(block, i, end)
            kind, length = number & 3, number >> 2
            if not length or kind > LITERAL:
                raise DeltaError("damaged: an unknown instruction")
            result.reserve(length)
            if kind == LITERAL:
                if length > len(block) - literal:
                    raise DeltaError("damaged: an instruction beyond its block")
                result.add(block[literal : literal + length])
                literal += length
                continue
            distance, i = _number(block, i, end)
            at += (distance >> 1) ^ -(distance & 1)
            if not 0 <= at <= bases.size - length:
                raise DeltaError("damaged: an instruction beyond its bases")
            if kind == CHANGE and length > literals - change:
                raise DeltaError("damaged: an instruction beyond its block")
            for piece in bases.read(at, length):
                if kind == CHANGE:
                    n = len(piece)
                    piece = _xor(piece, block[change : change + n])
                    change += n
                result.add(piece)
            at += length
        if change != literals or literal != len(block):
            raise DeltaError("damaged: a block with more than its instructions need")
        self._at = at


def _number(block: bytes, i: int, end: int) -> Tuple[int, int]:
    """Return the number at a place, and where the next one is; raises DeltaError."""
    number = shift = 0
    for place in range(i, min(end, i + _MAX_NUMBER)):
        byte = block[place]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place + 1
        shift += 7
    raise DeltaError("damaged: a number without an end")


def _xor(one: bytes, other: bytes) -> bytes:
    number = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return number.to_bytes(len(one), "little")


# Each returns the content, or one that is too long or too short when it is not what it should be,
# and never uncompresses more than one byte too many.


def _zlib(compressed: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(compressed, size + 1)
    except zlib.error as e:
        raise DeltaError(f"damaged: {e}") from None
    return content if inflater.eof else b""


def _xz(compressed: bytes, size: int) -> bytes:
    import lzma

    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": LZMA_DICTIONARY}]
    inflater = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    try:
        content = inflater.decompress(compressed, size + 1)
    except lzma.LZMAError as e:
        raise DeltaError(f"damaged: {e}") from None
    return content if inflater.eof else b""


def _zstd(compressed: bytes, size: int) -> bytes:
    name, decompress = _zstd_here()
    if decompress is None:
        raise DeltaError("it needs zstd, which is not here")
    try:
        return decompress(compressed, size)
    except OSError:
        raise
    except Exception as e:
        # Each way has an exception of its own, which only it can name.
        raise DeltaError(f"damaged: {name}: {e}") from None


def _zstd_here() -> Tuple[str, Optional[Callable[[bytes, int], bytes]]]:
    """Return what undoes zstd here, by name, if there is something."""
    for name, way in _ZSTD.items():
        with contextlib.suppress(ImportError):
            return name, way()
    return "", None


def _standard_zstd() -> Callable[[bytes, int], bytes]:
    """Use the standard library of Python 3.14 or later."""
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]

    options = {zstd.DecompressionParameter.window_log_max: 22}

    def decompress(compressed: bytes, size: int) -> bytes:
        content = zstd.ZstdDecompressor(options=options).decompress(compressed, size + 1)
        return bytes(content)

    return decompress


def _zstandard() -> Callable[[bytes, int], bytes]:
    """Use the package zstandard."""
    import zstandard

    def decompress(compressed: bytes, size: int) -> bytes:
        inflater = zstandard.ZstdDecompressor(max_window_size=MAX_BLOCK)
        with inflater.stream_reader(compressed) as reader:
            return _all(reader, size + 1)

    return decompress


def _zstd_program() -> Callable[[bytes, int], bytes]:
    """Use the program zstd."""
    import shutil
    import subprocess

    program = shutil.which("zstd")
    if program is None:
        raise ImportError

    def decompress(compressed: bytes, size: int) -> bytes:
        with tempfile.TemporaryFile() as file:
            file.write(compressed)
            file.seek(0)
            argv = [program, "-dcq", "--memory=16MB"]
            with subprocess.Popen(
                argv, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                content = _all(process.stdout, size + 1)
                if len(content) > size:
                    process.kill()
                elif process.wait():
                    raise DeltaError("not zstd")
                return content

    return decompress


def _all(stream: Any, size: int) -> bytes:
    """Return all that a stream has, up to a size."""
    pieces = []
    while size:
        piece = stream.read(size)
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


_ZSTD = {
    "compression.zstd": _standard_zstd,
    "zstandard": _zstandard,
    "zstd": _zstd_program,
}  # type: Dict[str, Callable[[], Callable[[bytes, int], bytes]]]
_DECOMPRESS = {
    "xz": _xz,
    "zlib": _zlib,
    "zstd": _zstd,
}  # type: Dict[str, Callable[[bytes, int], bytes]]


def compressions() -> List[str]:
    """Return which compressions can be undone here."""
    found = ["zlib"]
    with contextlib.suppress(ImportError):
        import lzma

        found += ["xz"] if lzma else []
    if _zstd_here()[1]:
        found.append("zstd")
    return found


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[Callable[[bytes], object]]:
    """Give what writes a file that is there, synced, once all went well, and not at all if not."""
    folder = os.path.dirname(os.path.abspath(path))
    fd, unfinished = tempfile.mkstemp(".part", ".", folder)
    try:
        with open(fd, "wb", buffering=0) as file:

            def write(content: bytes) -> None:
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]

            yield write
            os.fsync(fd)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    synced = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(synced)
    finally:
        os.close(synced)


def main(arguments: List[str]) -> int:
    """Undo the delta that comes in: ``undo.py OUTPUT DIFF_ID=FILE[@START+SIZE]…``."""
    output, bases = arguments[0], dict(base.split("=", 1) for base in arguments[1:])

    def find(diff_id: str) -> Optional[Region]:
        if diff_id not in bases:
            return None
        name, _, place = bases[diff_id].partition("@")
        fd = os.open(name, os.O_RDONLY)
        if place:
            start, _, size = place.partition("+")
            return Region(fd, int(start), int(size))
        return Region(fd, 0, os.fstat(fd).st_size)

    try:
        with whole_file(output) as write:
            result = undo(sys.stdin.buffer, find, write)
            if sys.stdin.buffer.read(1):
                raise DeltaError("damaged: something follows it")
    except (DeltaError, OSError) as e:
        print(f"cannot undo the delta: {e}", file=sys.stderr)
        return 1
    print(result.diff_id)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
