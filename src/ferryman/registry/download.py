"""A blob as a stream, from any byte on; where the connection breaks, it goes on from there."""

from collections.abc import Iterator
from contextlib import contextmanager

from ferryman.archive.stream import CHUNK, Stream
from ferryman.errors import RegistryError
from ferryman.image.digest import Digest
from ferryman.registry.broken import Broken
from ferryman.registry.failure import Unreachable
from ferryman.registry.repository import Repository
from ferryman.registry.wire import Answer


@contextmanager
def opened(repository: Repository, digest: Digest, size: int, start: int = 0) -> Iterator["Blob"]:
    """Give the content of a blob from byte `start` on; whoever reads it checks its digest.

    Nothing is asked for before it is read.  What is read raises NotFound, Denied, RegistryError.
    """
    blob = Blob(repository, digest, size, start)
    try:
        yield blob
    finally:
        blob.close()


class Blob(Stream):
    """A blob that comes from a registry."""

    def __init__(self, repository: Repository, digest: Digest, size: int, start: int) -> None:
        """Read `size` - `start` bytes of a blob."""
        super().__init__()
        self._repository = repository
        self._digest = digest
        self._size = size
        self._next = start
        self._answer: Answer | None = None
        self._breaks = 0

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        view = view[: max(0, self._size - self._next)]
        if not view:
            return 0
        session = self._repository.session
        while True:
            try:
                answer = self._answer = self._answer or self._asked()
                n = answer.readinto(view)
                if not n:
                    raise Broken(f"it ends after {self._next} of {self._size} bytes")
            except Broken as e:
                self.close()
                self._breaks += 1
                if self._breaks >= session.limits.attempts or not e.again:
                    url = self._repository.url(f"blobs/{self._digest}")
                    raise Unreachable(f'Get "{url.shown}": {e}') from None
                continue
            self._breaks = 0
            self._next += n
            self._at += n
            session.pace(n)
            return n

    def close(self) -> None:
        """Give up what has not been read."""
        if self._answer:
            if self._next == self._size:
                self._answer.release()
            else:
                self._answer.abandon()
            self._answer = None

    def _asked(self) -> Answer:
        """Ask for the rest (RFC 9110, section 14); who sends all is read up to there."""
        start = self._next
        url = self._repository.url(f"blobs/{self._digest}")
        answer = self._repository.session.request(
            "GET",
            url,
            ok=(200, 206) if start else (200,),
            scopes=self._repository.scopes,
            headers={"Range": f"bytes={start}-"} if start else {},
        )
        if answer.status == 206:
            if not answer.header("Content-Range").startswith(f"bytes {start}-"):
                said = answer.header("Content-Range")[:60]
                answer.abandon()
                raise RegistryError(f"{url.shown}: asked for byte {start}, was given {said!r}")
            return answer
        length = answer.header("Content-Length")
        if length.isascii() and length.isdigit() and int(length) != self._size:
            answer.abandon()
            raise RegistryError(f"{url.shown}: the blob has {length} bytes instead of {self._size}")
        buffer = memoryview(bytearray(min(start, CHUNK)))
        while start:
            n = answer.readinto(buffer[:start])
            if not n:
                raise Broken(f"it ends {start} bytes too early")
            start -= n
        return answer


def small(repository: Repository, digest: Digest, size: int, limit: int) -> bytes:
    """Return a small blob whole, held against its digest; raises RegistryError, NotFound, …."""
    if size > limit:
        raise RegistryError(f"blob {digest} is too large: {size} bytes, at most {limit}")
    with opened(repository, digest, size) as blob:
        content = blob.read(size)
    running = digest.hasher()
    running.update(content)
    if running.hexdigest() != digest.encoded:
        raise RegistryError(
            f"{repository.session.endpoint.host}: blob verification failed for digest {digest}"
        )
    return content
