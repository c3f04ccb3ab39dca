"""A file that is fetched by HTTP while it is read."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ferryman.archive.stream import Stream
from ferryman.errors import InvalidArchive

_TIMEOUT = 60.0  # seconds without a single byte


def shown(url: str) -> str:
    """Return a URL as it may be shown: without a name and a password in it."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


@contextmanager
def opened(url: str) -> Iterator[tuple[Stream, int]]:
    """Open a URL; give its content and its length in bytes (0 when not known).

    Raises InvalidArchive, then and while it is read.
    """
    what = shown(url)
    import httpx  # only here: it takes longer to import than everything else together

    with ExitStack() as stack:
        try:
            answer = httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT)
            response = stack.enter_context(answer)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as e:
            # ValueError: a host's name that is none, a proxy of an unknown kind.
            raise InvalidArchive(f"cannot download {what}: {_reason(e)}") from None
        if response.status_code >= 400:
            raise InvalidArchive(
                f"cannot download {what}: {response.status_code} {response.reason_phrase}"
            )
        # As it was sent: a .tar.gz stays compressed unless the server compressed the transfer.
        pieces = response.iter_bytes()
        encoded = "content-encoding" in response.headers
        length = "" if encoded else response.headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() else 0
        yield _Pieces(pieces, size, what, httpx.HTTPError), size


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


class _Pieces(Stream):
    """What an iterator gives, in the sizes that the reader wants."""

    def __init__(
        self, pieces: Iterator[bytes], size: int, what: str, error: type[Exception]
    ) -> None:
        super().__init__()
        self._pieces = pieces
        self._size = size
        self._what = what
        self._error = error
        self._rest = memoryview(b"")

    def readinto(self, view: memoryview) -> int:
        while not self._rest:
            try:
                piece = next(self._pieces, None)
            except self._error as e:
                raise InvalidArchive(f"cannot download {self._what}: {_reason(e)}") from None
            if piece is None:
                if self._at < self._size:
                    raise InvalidArchive(
                        f"cannot download {self._what}: it broke off after {self._at} of "
                        f"{self._size} bytes"
                    )
                return 0
            self._rest = memoryview(piece)
        n = min(len(view), len(self._rest))
        view[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        self._at += n
        return n
