"""Blobs to a registry: looked for, mounted from another repository, or sent.

A blob goes in one request; or in several, where the user's `chunk` or the registry (413) wants it
so.  Where the connection breaks, the registry is asked how far it has come, and the rest is sent
(the specification's "Pushing a blob in chunks").
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from ferryman.archive.stream import BytesStream, Limited, Stream
from ferryman.errors import RegistryError
from ferryman.image import digest as digests
from ferryman.image.digest import Digest
from ferryman.registry import url as urls
from ferryman.registry.failure import Busy, Denied, NotFound, Refused, Unreachable
from ferryman.registry.repository import Repository
from ferryman.registry.url import Url
from ferryman.registry.wire import Answer, Body

Source = Callable[[int], Stream]
"""Gives the content of a blob from some byte on, as often as it is asked for."""

At = Callable[[int], None]
"""Called with the number of bytes that have been sent so far; it may raise to stop the work."""

_CHUNK = 16 << 20
_MAX_CHUNK = 256 << 20
_OCTETS = {"Content-Type": "application/octet-stream"}


class Sent(NamedTuple):
    """A blob of which digest and size were found out while it was sent."""

    digest: Digest
    size: int


def size(repository: Repository, digest: Digest) -> int | None:
    """Return the bytes of a blob at the registry, None when it is not there; raises Denied, …."""
    try:
        answer = repository.session.request(
            "HEAD", repository.url(f"blobs/{digest}"), ok=(200,), scopes=repository.scopes
        )
    except NotFound:
        return None
    answer.release()
    length = answer.header("Content-Length")
    return int(length) if length.isascii() and length.isdigit() else 0


def mount(repository: Repository, digest: Digest, origin: str) -> bool:
    """Have a registry take a blob over from another repository of its; tell whether it did.

    See the specification's "Mounting a blob from another repository".
    """
    url = repository.url(f"blobs/uploads/?mount={quote(digest, safe=':')}&from={quote(origin)}")
    scopes = (*repository.scopes, f"repository:{origin}:pull")
    try:
        answer = repository.session.request("POST", url, ok=(201, 202), scopes=scopes)
    except (Denied, Refused):
        return False
    answer.release()
    if answer.status == 202 and (place := answer.header("Location")):
        _cancel(repository, _moved(repository, place, url))
    return answer.status == 201


def send(
    repository: Repository, digest: Digest, size: int, source: Source, at: At = lambda n: None
) -> None:
    """Send a blob of a digest and size that are known.  Raises Denied, RegistryError, …."""
    _Upload(repository, source, at).whole(digest, size)


def stream(repository: Repository, source: Source, at: At = lambda n: None) -> Sent:
    """Send a blob of which nothing is known before its end; return what it was.

    `source` gives the same bytes each time that it is called.  Raises Denied, RegistryError, ….
    """
    return _Upload(repository, source, at).unknown()


def _cancel(repository: Repository, place: Url) -> None:
    try:
        repository.session.request(
            "DELETE", place, ok=(200, 202, 204), scopes=repository.scopes, attempts=1
        ).release()
    except RegistryError:
        return  # the registry forgets it by itself


def _moved(repository: Repository, location: str, url: Url) -> Url:
    """Return where an upload goes on; by HTTPS, if that is how it began."""
    place = urls.parse(location, url)
    if url.scheme == "https" and place.scheme == "http":
        if place.host != url.host:
            raise RegistryError(
                f'Post "{url.shown}": the upload is to go on by plain HTTP at {place.shown}: '
                "refused"
            )
        # A registry behind a proxy often does not know how it is spoken to.
        place = place._replace(scheme="https", port=url.port)
    return place


class _Upload:
    """One upload, begun anew when the registry has forgotten it."""

    def __init__(self, repository: Repository, source: Source, at: At) -> None:
        self._repository = repository
        self._session = repository.session
        self._source = source
        self._at = at
        self._place: Url | None = None
        self._least = 0
        self._tries = 0

    def whole(self, digest: Digest, size: int) -> None:
        """Send it; what is left after a break goes in a piece of its own."""
        start, chunk = 0, self._session.chunk
        while True:
            place = self._place or self._begin()
            try:
                if not start and not chunk:
                    self._finish(place, digest, Body(self._told(0), size))
                    return
                while start < size:
                    length = min(size - start, max(chunk, self._least) or size)
                    self._patch(Body(Limited(self._told(start), length), length), start)
                    start += length
                    self._tries = 0
                self._finish(self._place or place, digest, None)
                return
            except (Unreachable, Busy) as e:
                start = self._again(e)
            except Refused as e:
                if e.status == 416 or (e.status == 404 and start):
                    self._count(e)
                    self._place, start = None, 0
                elif e.status == 413 and not chunk:
                    self._place, start, chunk = None, 0, _CHUNK
                else:
                    raise

    def unknown(self) -> Sent:
        """Send it as one piece without an end that is known, or in pieces where that is wanted."""
        start = 0
        while True:
            try:
                place = self._place or self._begin()
                content = _Hashing(self._told(0))
                content.skip(start)
                if self._session.chunk:
                    self._pieces(content, start)
                else:
                    self._patch(Body(content, None), start)
                self._finish(self._place or place, content.digest, None)
                return Sent(content.digest, content.tell())
            except (Unreachable, Busy) as e:
                start = self._again(e)
            except Refused as e:
                if e.status != 416:
                    raise
                self._count(e)
                self._place, start = None, 0

    def _pieces(self, content: "_Hashing", start: int) -> None:
        chunk = min(max(self._session.chunk, self._least), _MAX_CHUNK)
        while piece := content.read(chunk):
            self._patch(Body(BytesStream(piece), len(piece)), start)
            start += len(piece)
            self._tries = 0

    def _begin(self) -> Url:
        url = self._repository.url("blobs/uploads/")
        answer = self._request("POST", url, (202,), None, None)
        least = answer.header("OCI-Chunk-Min-Length")
        self._least = min(int(least[:12]), _MAX_CHUNK) if least.isdecimal() else 0
        return self._settled(answer, url)

    def _settled(self, answer: Answer, url: Url) -> Url:
        location = answer.header("Location")
        answer.release()
        if not location and self._place is None:
            raise RegistryError(f'Post "{url.shown}": the registry does not say where to upload')
        if location:
            self._place = _moved(self._repository, location, url)
        assert self._place is not None
        return self._place

    def _patch(self, body: Body, start: int) -> None:
        assert self._place is not None
        headers = dict(_OCTETS)
        if body.size is not None:
            headers["Content-Range"] = f"{start}-{start + body.size - 1}"
        answer = self._request("PATCH", self._place, (202, 201, 204), headers, body)
        self._settled(answer, self._place)

    def _finish(self, place: Url, digest: Digest, body: Body | None) -> None:
        separator = "&" if "?" in place.target else "?"
        target = f"{place.target}{separator}digest={quote(digest, safe='')}"
        headers = _OCTETS if body else None
        url = place._replace(target=target)
        answer = self._request("PUT", url, (201, 204, 202), headers, body)
        answer.release()
        said = answer.header("Docker-Content-Digest")
        if said and said != digest:
            raise RegistryError(
                f'Put "{url.shown}": sent {digest}, the registry has {said[:140]!r}'
            )

    def _request(
        self,
        method: str,
        url: Url,
        ok: Sequence[int],
        headers: dict[str, str] | None,
        body: Body | None,
    ) -> Answer:
        bodies = iter((body,)) if body else None

        def once() -> Body:
            assert bodies is not None
            given = next(bodies, None)
            if given is None:
                # It has been read in part; the registry knows how far it has come.
                raise Unreachable(f'{method.capitalize()} "{url.shown}": it has to be sent again')
            return given

        return self._session.request(
            method,
            url,
            ok=ok,
            scopes=self._repository.scopes,
            headers=headers,
            body=once if body else None,
            attempts=1 if body else None,
        )

    def _again(self, error: Unreachable | Busy) -> int:
        """Return from which byte on to send after a break, having waited; raises the error."""
        self._count(error)
        self._session.pause(self._tries, getattr(error, "wait", ""))
        if self._place is None:
            return 0
        try:
            answer = self._request("GET", self._place, (204, 200, 202), None, None)
        except Refused:
            self._place = None
            return 0
        reached = answer.header("Range").removeprefix("bytes=").partition("-")[2]
        self._settled(answer, self._place)
        # Who has nothing yet says "0-0", as one would of a single byte.
        return int(reached[:20]) + 1 if reached.isdecimal() and int(reached[:20]) else 0

    def _count(self, error: RegistryError) -> None:
        self._tries += 1
        if self._tries >= self._session.limits.attempts:
            raise error

    def _told(self, start: int) -> Stream:
        return _Told(self._source(start), start, self._repository, self._at)


class _Told(Stream):
    """What is sent, told how far it has come, at the pace that the user wants."""

    def __init__(self, stream: Stream, start: int, repository: Repository, at: At) -> None:
        super().__init__()
        self._stream = stream
        self._start = start
        self._repository = repository
        self._tell = at

    def readinto(self, view: memoryview) -> int:
        n = self._stream.readinto(view)
        self._at += n
        self._tell(self._start + self._at)
        self._repository.session.pace(n)
        return n


class _Hashing(Stream):
    """A stream that knows the digest of all that has been read of it."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self._hash = digests.hasher()

    def readinto(self, view: memoryview) -> int:
        n = self._stream.readinto(view)
        self._hash.update(view[:n])
        self._at += n
        return n

    @property
    def digest(self) -> Digest:
        return digests.finished(self._hash)
