"""A blob of a stranger's, held against its descriptor while it goes by."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ferryman.archive.stream import Stream
from ferryman.image.manifest import Descriptor
from ferryman.transfer.ends.contract import CopyError, Source


@contextmanager
def opened(source: Source, blob: Descriptor, advance: Callable[[int], None]) -> Iterator[Stream]:
    """Give the content of a blob, verified; `advance` hears of each piece and may raise."""
    with source.blob(blob) as stream:
        yield Verified(stream, blob, source.what, advance)


class Verified(Stream):
    """A stream of exactly the bytes that a descriptor promises."""

    def __init__(
        self, stream: Stream, blob: Descriptor, what: str, advance: Callable[[int], None]
    ) -> None:
        """Read from `stream`; `what` names where it comes from."""
        super().__init__()
        self._stream = stream
        self._blob = blob
        self._what = what
        self._advance = advance
        self._hash = blob.id.hasher()
        self._good = False

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end.

        Raises CopyError in place of the last bytes when any of them are wrong.
        """
        view = view[: self._blob.size - self._at]
        n = self._stream.readinto(view) if view else 0
        self._hash.update(view[:n])
        self._at += n
        if view and not n:
            raise CopyError(
                f"{self._what}: blob {self._blob.digest} is truncated: {self._at} of "
                f"{self._blob.size} bytes are there"
            )
        if self._at == self._blob.size and not self._good:
            if self._hash.hexdigest() != self._blob.id.encoded:
                raise CopyError(
                    f"{self._what}: blob {self._blob.digest} is damaged: its digest is "
                    f"{self._blob.id.algorithm}:{self._hash.hexdigest()}"
                )
            self._good = True
        self._advance(n)
        return n
