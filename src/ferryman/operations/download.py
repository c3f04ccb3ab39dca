"""A file that is fetched by HTTP while it is read."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ferryman.archive.stream import Pieces, Stream
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
        yield Pieces(_checked(pieces, size, what, httpx.HTTPError)), size


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _checked(
    pieces: Iterator[bytes], size: int, what: str, error: type[Exception]
) -> Iterator[bytes]:
    """Yield pieces up to their end, which must not come before `size`, if that is known."""
    done = 0
    try:
        for piece in pieces:
            yield piece
            done += len(piece)
    except error as e:
        raise InvalidArchive(f"cannot download {what}: {_reason(e)}") from None
    if done < size:
        raise InvalidArchive(f"cannot download {what}: it broke off after {done} of {size} bytes")
