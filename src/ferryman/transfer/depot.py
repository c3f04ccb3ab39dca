"""Blobs in a bucket: each is put there once, and hosts fetch it by an address that is signed.

``blobs/ALGORITHM/ENCODED`` is a blob as it is, as in a layout there: one that came compressed.
``moves/ALGORITHM/ENCODED.zst`` (or ``.gz``) is one that is plain, pressed as for a line to a
host; ``….json`` beside it says how long it is and what the store calls its content, by which what
somebody else has put there since is told.  Nothing of it is ever removed by a move.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from ferryman.archive.stream import Stream
from ferryman.errors import FerryError
from ferryman.image import manifest as manifests
from ferryman.image.decode import decode, encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.transfer.ends.bucket import Bucket
from ferryman.transfer.ends.contract import CopyError
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.pressed import Press, Pressed

VALID = 6 * 3600
"""For how many seconds an address is good: as long as a move may take."""
_AT_ONCE = 8
"""How many blobs are looked for at once.  One is put there at a time: pressing takes memory, for
each processor and the harder the slower the line is; and parts of one go two at a time anyway."""
_MAX_RECORD = 4 << 10
_ENDINGS = {"zstd": ".zst", "gzip": ".gz"}


class _Record(msgspec.Struct, frozen=True):
    size: int
    tag: str | None


class Kept(NamedTuple):
    """A blob in the bucket."""

    name: str
    codec: str
    """What undoes it: "zstd", "gzip", or "none" for a blob as it is."""


class Depot:
    """What hosts fetch, in one bucket; several threads may ask for blobs."""

    def __init__(
        self,
        bucket: Bucket,
        press: Press,
        pace: Pace,
        tell: Callable[[int, int], None],
    ) -> None:
        """Put blobs into a bucket that `press` gives.

        `tell` hears how many bytes have gone there, and of how many, as they are stored here.
        """
        self.what = bucket.what
        """What it is called in errors."""
        self._bucket = bucket
        self._press = press
        self._pace = pace
        self._tell = tell
        self._lock = threading.Lock()
        self._begun: dict[tuple[Digest, str], Future[Kept]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._putting = threading.Lock()
        self._cut = threading.Event()
        self._done = self._total = 0

    def check(self) -> None:
        """Make sure that the bucket is there and may be read; raises CopyError."""
        self._bucket.read("moves/none", 0)

    def keep(self, blobs: Sequence[Descriptor], codec: str) -> dict[Digest, Kept]:
        """Have blobs in the bucket, the plain ones pressed by `codec`; say what they are there.

        Raises CopyError, StoreError.
        """
        begun = {blob.id: self._keeping(blob, codec) for blob in blobs}
        return {digest: each.result() for digest, each in begun.items()}

    def address(self, kept: Kept) -> str:
        """Return a URL from which anybody may fetch it for VALID seconds; raises CopyError."""
        return self._bucket.address(kept.name, VALID)

    @property
    def endpoint(self) -> str:
        """Where hosts have to reach it: a URL without a path."""
        there = urlsplit(self._bucket.address("moves", 1))
        return f"{there.scheme}://{there.netloc}"

    def cut(self) -> None:
        """End what is being put there; those who wait for it get an error."""
        self._cut.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End, once nobody uses it any more."""
        self.cut()
        self._pool.shutdown()

    def _keeping(self, blob: Descriptor, codec: str) -> "Future[Kept]":
        packed = manifests.compression_of(blob.media_type) not in (None, "none")
        key = blob.id, "none" if packed else codec
        with self._lock:
            if self._cut.is_set():
                raise FerryError("interrupted")
            if key not in self._begun:
                self._begun[key] = self._pool.submit(self._kept, *key, blob.size)
            return self._begun[key]

    def _kept(self, digest: Digest, codec: str, size: int) -> Kept:
        place = f"{digest.algorithm}/{digest.encoded}"
        if codec == "none":
            kept = Kept(f"blobs/{place}", codec)
            if self._bucket.size(kept.name) != size:
                self._put(kept, digest, size)
            return kept
        kept = Kept(f"moves/{place}{_ENDINGS[codec]}", codec)
        if not self._as_recorded(kept):
            sent = self._put(kept, digest, size)
            found = self._bucket.found(kept.name)
            if found is None or found.size != sent:
                raise CopyError(f"{self.what}: {kept.name} is not what was just put there")
            record = encode(_Record(found.size, found.tag))
            self._bucket.change(f"{kept.name}.json", _MAX_RECORD, lambda before: record)
        return kept

    def _as_recorded(self, kept: Kept) -> bool:
        """Tell whether it is there, whole, and nobody else's."""
        said = self._bucket.read(f"{kept.name}.json", _MAX_RECORD)
        found = said and self._bucket.found(kept.name)
        if not said or not found:
            return False
        try:
            record = decode(said, _Record, kept.name)
        except FerryError:
            return False
        return (record.size, record.tag) == tuple(found)

    def _put(self, kept: Kept, digest: Digest, size: int) -> int:
        """Put a blob there; return how many bytes that was."""
        with self._lock:
            self._total += size
        self._heard(0)
        pressed = self._press(kept.codec, digest, size, 0)
        gone: list[int] = []
        # Clients that pull the blob undo gzip by themselves, when they are told that it is there.
        encoding = "gzip" if kept.codec == "gzip" else ""
        # What cannot be compressed becomes a little longer.
        most = size + size // 64 + 4096
        flowing = partial(self._flowing, pressed, gone)
        with self._putting:
            self._bucket.write(kept.name, most, flowing, encoding=encoding)
        return gone[0] if gone else 0

    @contextmanager
    def _flowing(self, pressed: Pressed, gone: list[int]) -> Iterator[Stream]:
        """Give a blob, pressed, as a stream; `gone` gets its length."""
        out, into = os.pipe()
        failed: list[BaseException] = []

        def flow() -> None:
            try:
                gone.append(pressed.send(Line(into, self._pace, self._heard)))
            except BaseException as e:
                failed.append(e)
            finally:
                os.close(into)

        thread = threading.Thread(target=flow, daemon=True)
        thread.start()
        try:
            with open(out, "rb", buffering=0) as file:
                yield _Flow(file, thread, failed, self._cut)
        finally:
            # It ends by itself: nobody reads what it writes.
            thread.join()

    def _heard(self, n: int) -> None:
        with self._lock:
            self._done += n
            done, total = self._done, self._total
        self._tell(done, total)


class _Flow(Stream):
    """What comes out of a pipe, if nothing went wrong with what goes into it."""

    def __init__(
        self,
        file: io.FileIO,
        thread: threading.Thread,
        failed: list[BaseException],
        cut: threading.Event,
    ) -> None:
        super().__init__()
        self._file = file
        self._thread = thread
        self._failed = failed
        self._cut = cut

    def readinto(self, view: memoryview) -> int:
        if self._cut.is_set():
            raise FerryError("interrupted")
        n = self._file.readinto(view) or 0
        if not n and len(view):
            self._thread.join()
            if self._failed:
                raise self._failed[0]
        self._at += n
        return n
