"""Write a delta: docs/delta-format.md."""

import hashlib
import json
import lzma
import mmap
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, Protocol

from ferryman.errors import InvalidArchive
from ferryman.image.digest import Digest
from ferryman.parallel import cores
from ferryman.transfer.delta import undo
from ferryman.transfer.delta.align import Aligned, Mapped, aligned
from ferryman.transfer.delta.instructions import Block, blocks
from ferryman.transfer.delta.match import release

COMPRESSIONS = ("xz", "zstd", "zlib")
"""How deltas may be compressed; what comes first makes smaller ones as a rule."""

# So much of the layers is in memory at most, beside what Python needs.
_KEPT = 16 << 20


class Layer(NamedTuple):
    """A layer: its diff ID, and an open file that is its tar, uncompressed, and nothing else."""

    diff_id: Digest
    fd: int
    what: str
    """What to call it in errors."""


class Delta(NamedTuple):
    """A delta that was written: what it makes, of what, and sizes in bytes."""

    result: Digest
    bases: tuple[Digest, ...]
    compression: str
    result_size: int
    size: int
    literals: int
    """How many bytes of the result were found in no base."""


class Output(Protocol):
    """Where a delta is written to."""

    def write(self, content: bytes, /) -> object:
        """Take all of some bytes."""


def choose(there: Sequence[str]) -> str:
    """Return how to compress for a far side that can undo some compressions."""
    return next(name for name in (*COMPRESSIONS, "zlib") if name in there or name == "zlib")


def encode(
    bases: Sequence[Layer],
    target: Layer,
    out: Output,
    compression: str = "xz",
    advance: Callable[[int], None] = lambda _: None,
) -> Delta:
    """Write what makes `target` of `bases`, of which the first ones are looked at first.

    Blocks are compressed in threads.  `advance` hears of the bytes of the target that are done; it
    may raise to stop.  Memory grows with the number of members of the bases, by some 600 bytes, and
    not with their contents.  Raises InvalidArchive for a layer that cannot be read, and what `out`
    raises.
    """
    compress = _COMPRESS[compression]
    with ExitStack() as stack:
        old: list[Mapped] = []
        for base in bases:
            old.append(stack.enter_context(_mapped(base, sum(layer.size for layer in old))))
        new = stack.enter_context(_mapped(target, 0))
        hashed = _Hashed(out)
        found = [undo.Layer(b.diff_id, m.size) for b, m in zip(bases, old, strict=True)]
        result = undo.Layer(target.diff_id, new.size)
        hashed.write(_header(undo.Header(tuple(found), result, compression)))
        literals = 0
        pieces = _released(aligned(new, old), [new, *old])
        for block, compressed in _compressed(blocks(new, pieces), compress):
            sizes = len(block.instructions), len(block.differences), len(block.literals)
            hashed.write(undo.BLOCK.pack(*sizes, len(compressed)) + compressed)
            literals += len(block.literals)
            advance(block.made)
        hashed.write(undo.END)
        out.write(hashed.digest())
        return Delta(
            target.diff_id,
            tuple(base.diff_id for base in bases),
            compression,
            new.size,
            hashed.size + 32,
            literals,
        )


class _Hashed:
    """Bytes on their way out."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, content: bytes) -> None:
        self._hash.update(content)
        self._out.write(content)
        self.size += len(content)

    def digest(self) -> bytes:
        return self._hash.digest()


@contextmanager
def _mapped(layer: Layer, start: int) -> Iterator[Mapped]:
    """Map a layer; blobs do not change, so it is as long as it was to the end."""
    try:
        size = os.fstat(layer.fd).st_size
        # There is no such thing as a mapping of nothing.
        content = mmap.mmap(layer.fd, size, prot=mmap.PROT_READ) if size else None
    except (OSError, ValueError) as e:
        raise InvalidArchive(f"cannot read {layer.what}: {e}") from None
    if content is None:
        yield Mapped(layer.fd, b"", 0, start)
        return
    with content:
        yield Mapped(layer.fd, content, size, start)


def _released(pieces: Iterable[Aligned], layers: Sequence[Mapped]) -> Iterator[Aligned]:
    """Pass the pieces on, and let go of what is in memory of the layers now and then."""
    since = 0
    for piece in pieces:
        yield piece
        since += 0 if piece.same else piece.end - piece.at
        if since >= _KEPT:
            since = 0
            for layer in layers:
                release(layer.content)


def _header(header: undo.Header) -> bytes:
    bases, result, compression = header
    said = {
        "bases": [base._asdict() for base in bases],
        "result": result._asdict(),
        "compression": compression,
    }
    content = json.dumps(said).encode()
    return undo.START.pack(undo.MAGIC, undo.VERSION, len(content)) + content


def _compressed(
    blocks: Iterable[Block], compress: Callable[[bytes], bytes]
) -> Iterator[tuple[Block, bytes]]:
    """Yield blocks and what they become, in order; as many at once as there are processors."""
    running: deque[tuple[Block, Future[bytes]]] = deque()
    with ThreadPoolExecutor(cores()) as pool:
        for block in blocks:
            content = block.instructions + block.differences + block.literals
            running.append((block, pool.submit(compress, content)))
            if len(running) > cores():
                first, future = running.popleft()
                yield first, future.result()
        while running:
            first, future = running.popleft()
            yield first, future.result()


def _xz(content: bytes) -> bytes:
    # A higher preset takes four times as long for a tenth.
    dictionary = {"dict_size": undo.LZMA_DICTIONARY, "preset": 1}
    filters = [{"id": lzma.FILTER_LZMA2, **dictionary}]
    return lzma.compress(content, lzma.FORMAT_RAW, filters=filters)


def _zlib(content: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(content) + deflater.flush()


def _zstd(content: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=9).compress(content)


_COMPRESS = {"xz": _xz, "zlib": _zlib, "zstd": _zstd}
