"""``docker-daemon:NAME:TAG``: a docker daemon, by the Engine API on its socket.

What it gives is written aside first, since it comes in any order; what it takes goes to it as it is
written, through a pipe.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from ferryman.archive.stream import Pieces
from ferryman.errors import FerryError, ImageNotFound, InvalidImage
from ferryman.image import manifest as kinds
from ferryman.image.decode import decode
from ferryman.image.manifest import Descriptor, Manifest
from ferryman.transfer.ends import archives
from ferryman.transfer.ends.archives import ArchiveDestination, ArchiveSource
from ferryman.transfer.ends.contract import ANY, Content, CopyError, Image

if TYPE_CHECKING:
    import httpx

_SOCKET = "unix:///var/run/docker.sock"
_MAX_SAID = 1 << 20
_PIECE = 1 << 18
_SECONDS = 60.0
_LOADING_SECONDS = 24 * 3600.0


class _Daemon:
    """A docker daemon that answers."""

    def __init__(self, client: "httpx.Client", what: str) -> None:
        self.client = client
        self.what = what

    def failed(self, answer: "httpx.Response") -> CopyError:
        """Return what it says is wrong, in one line."""
        said = b""
        for piece in answer.iter_bytes(_PIECE):
            said += piece
            if len(said) > _MAX_SAID:
                break
        try:
            words = decode(said, _Message, "answer").message
        except InvalidImage:
            words = f"it answers with {answer.status_code}"
        return CopyError(f"{self.what}: {' '.join(words.split())[:500]}")

    def broken(self, error: Exception) -> CopyError:
        return CopyError(f"{self.what}: {' '.join(str(error).split())[:500]}")


class _Message(msgspec.Struct, frozen=True):
    message: str = ""


class _Inspected(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="Id", default="")


class _Said(msgspec.Struct, frozen=True):
    error: str = ""


@contextmanager
def _connected(what: str) -> Iterator[_Daemon]:
    """Give the daemon of ``DOCKER_HOST``, or of this machine; raises CopyError."""
    import httpx  # only here: it takes long to import

    host = os.environ.get("DOCKER_HOST") or _SOCKET
    scheme, _, place = host.partition("://")
    timeout = httpx.Timeout(_SECONDS, read=_LOADING_SECONDS)
    if scheme == "unix":
        transport = httpx.HTTPTransport(uds=place)
        client = httpx.Client(transport=transport, base_url="http://docker", timeout=timeout)
    elif scheme == "tcp" and not os.environ.get("DOCKER_TLS_VERIFY"):
        client = httpx.Client(base_url=f"http://{place}", timeout=timeout, trust_env=False)
    else:
        raise CopyError(
            f"{what}: a daemon at {host[:200]}, or one by TLS, is not reached: use ssh://HOST/IMAGE"
        )
    with client:
        try:
            client.get("/_ping").raise_for_status()
        except httpx.HTTPError as e:
            raise CopyError(
                f"{what}: Cannot connect to the Docker daemon at {host}. Is the docker daemon "
                f"running? ({e})"
            ) from None
        yield _Daemon(client, what)


@contextmanager
def source(name: str) -> Iterator[ArchiveSource]:
    """Open an image of the daemon, by its name or ID; raises ImageNotFound, CopyError, …."""
    import httpx

    what = f"docker-daemon:{name}"
    with _connected(what) as daemon:
        try:
            with daemon.client.stream("GET", f"/images/{quote(name, safe='/:')}/get") as answer:
                if answer.status_code == 404:
                    raise ImageNotFound(f"{what}: No such image: {name}")
                if answer.status_code != 200:
                    raise daemon.failed(answer)
                with archives.spooled(Pieces(answer.iter_raw(_PIECE)), what) as spooled:
                    yield ArchiveSource(spooled, "")
        except httpx.HTTPError as e:
            raise daemon.broken(e) from None


class _Loading(threading.Thread):
    """The request that sends what comes out of a pipe, and what came of it."""

    def __init__(self, daemon: _Daemon, fd: int) -> None:
        super().__init__(name="load", daemon=True)
        self._daemon = daemon
        self._fd = fd
        self.whole = False
        """Whether all has been written: an end that comes before that is none."""
        self.error: FerryError | None = None

    def run(self) -> None:
        import httpx

        try:
            with self._daemon.client.stream(
                "POST",
                "/images/load",
                params={"quiet": "1"},
                headers={"Content-Type": "application/x-tar"},
                content=self._content(),
            ) as answer:
                if answer.status_code != 200:
                    raise self._daemon.failed(answer)
                self._read(answer)
        except httpx.HTTPError as e:
            self.error = self._daemon.broken(e)
        except _Unfinished:
            return
        except FerryError as e:
            self.error = e
        finally:
            # Whoever writes is not to wait for a reader that has gone.
            os.close(self._fd)

    def _content(self) -> Iterator[bytes]:
        while piece := os.read(self._fd, _PIECE):
            yield piece
        if not self.whole:
            raise _Unfinished

    def _read(self, answer: "httpx.Response") -> None:
        said, rest = 0, b""
        for piece in answer.iter_bytes(_PIECE):
            said += len(piece)
            if said > _MAX_SAID:
                raise CopyError(f"{self._daemon.what}: it says too much")
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._heard(line)
        self._heard(rest)

    def _heard(self, line: bytes) -> None:
        with suppress(InvalidImage):
            if error := decode(line, _Said, "answer").error:
                raise CopyError(f"{self._daemon.what}: {' '.join(error.split())[:500]}")


class _Unfinished(Exception):
    """The request is to be broken off."""


class DaemonDestination:
    """A name of a docker daemon."""

    manifests = ANY
    keeps = False
    at_once = 1

    def __init__(self, daemon: _Daemon, archive: ArchiveDestination, fd: int, name: str) -> None:
        """Write an archive to `fd`, of which the daemon reads the other end."""
        self.what = daemon.what
        self._daemon = daemon
        self._archive = archive
        self._fd = fd
        self._name = name
        self.loading: _Loading | None = None

    def has(self, blob: Descriptor) -> bool:
        """Tell that nothing is there."""
        return False

    def put(self, blob: Descriptor, content: Content) -> None:
        """Take a blob; raises CopyError."""
        try:
            self._archive.put(blob, content)
        except BrokenPipeError:
            raise self._broken() from None

    def finish(self, image: Image) -> None:
        """Have the image loaded, and look that it is there; raises CopyError."""
        assert self.loading
        try:
            self._archive.finish(image)
        except BrokenPipeError:
            raise self._broken() from None
        self.loading.whole = True
        os.close(self._fd)
        self._fd = -1
        self.loading.join()
        if self.loading.error:
            raise self.loading.error
        self._verify(image)

    def close(self) -> None:
        """Break off what is not finished."""
        if self._fd != -1:
            os.close(self._fd)
        if self.loading:
            self.loading.join()

    def _broken(self) -> FerryError:
        assert self.loading
        self.loading.join()
        return self.loading.error or CopyError(f"{self.what}: the daemon stopped reading")

    def _verify(self, image: Image) -> None:
        manifest = kinds.parse(image.documents[image.manifest.id].content, "manifest")
        assert isinstance(manifest, Manifest)
        known = {manifest.config.digest, *image.documents}
        answer = self._daemon.client.get(f"/images/{quote(self._name, safe='/:')}/json")
        if answer.status_code != 200:
            raise CopyError(f"{self.what} is not there after it was sent")
        found = decode(answer.content, _Inspected, f"{self.what}: its description").id
        if found not in known:
            raise CopyError(
                f"{self.what} has the ID {found[:100]} after it was sent, "
                f"not {manifest.config.digest}"
            )


@contextmanager
def destination(name: str) -> Iterator[DaemonDestination]:
    """Open a place in the daemon; raises CopyError."""
    what = f"docker-daemon:{name}"
    with _connected(what) as daemon:
        out, into = os.pipe2(os.O_CLOEXEC)
        try:
            archive = ArchiveDestination(into, what, "docker", name)
        except BaseException:
            os.close(out)
            os.close(into)
            raise
        found = DaemonDestination(daemon, archive, into, name)
        found.loading = _Loading(daemon, out)
        found.loading.start()
        try:
            yield found
        finally:
            found.close()
