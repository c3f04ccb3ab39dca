"""A file that is fetched by HTTP while it is read."""

from collections.abc import Iterator
from contextlib import contextmanager

from ferryman.archive.stream import Stream
from ferryman.errors import InvalidArchive

_TIMEOUT = 60.0  # seconds without a single byte


@contextmanager
def opened(url: str) -> Iterator[tuple[Stream, int]]:
    """Open a URL; give its content and its length in bytes (0 when not known).

    Raises InvalidArchive, then and while it is read.
    """
    import httpx  # only here: it takes longer to import than everything else together

    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT) as response:
            if response.status_code >= 400:
                raise InvalidArchive(
                    f"cannot download {url}: {response.status_code} {response.reason_phrase}"
                )
            # As it was sent: a .tar.gz stays compressed unless the server compressed the transfer.
            pieces = response.iter_bytes()
            encoded = "content-encoding" in response.headers
            length = "" if encoded else response.headers.get("content-length", "")
            size = int(length) if length.isdigit() else 0
            yield _Pieces(pieces, size, url, httpx.HTTPError), size
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise InvalidArchive(f"cannot download {url}: {e}") from None


class _Pieces(Stream):
    """What an iterator gives, in the sizes that the reader wants."""

    def __init__(
        self, pieces: Iterator[bytes], size: int, url: str, error: type[Exception]
    ) -> None:
        super().__init__()
        self._pieces = pieces
        self._size = size
        self._url = url
        self._error = error
        self._rest = memoryview(b"")

    def readinto(self, view: memoryview) -> int:
        while not self._rest:
            try:
                piece = next(self._pieces, None)
            except self._error as e:
                raise InvalidArchive(f"cannot download {self._url}: {e}") from None
            if piece is None:
                if self._at < self._size:
                    raise InvalidArchive(
                        f"cannot download {self._url}: it broke off after {self._at} of "
                        f"{self._size} bytes"
                    )
                return 0
            self._rest = memoryview(piece)
        n = min(len(view), len(self._rest))
        view[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        self._at += n
        return n
