"""A docker daemon, asked by the Engine API: what it says is bounded, and no more is believed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from ferryman.errors import FerryError
from ferryman.image import digest as digests
from ferryman.image.decode import decode
from ferryman.transfer.ends.contract import CopyError
from ferryman.transfer.inventory import Held, Inventory

if TYPE_CHECKING:
    import httpx

_SOCKET = "unix:///var/run/docker.sock"
_CONTAINERD = "io.containerd.snapshotter"
_MAX_SAID = 16 << 20
_MAX_ERROR = 64 << 10
_MAX_IMAGES = 2_000
_PIECE = 1 << 16
_SECONDS = 60.0
# A daemon says nothing while it reads an archive.
_LOADING_SECONDS = 24 * 3600.0


class _Message(msgspec.Struct, frozen=True):
    message: str = ""


class _Info(msgspec.Struct, frozen=True):
    driver_status: list[list[str]] | None = msgspec.field(name="DriverStatus", default=None)


class _Listed(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="Id")


class _RootFS(msgspec.Struct, frozen=True):
    layers: list[str] | None = msgspec.field(name="Layers", default=None)


class _Inspected(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="Id")
    rootfs: _RootFS = msgspec.field(name="RootFS", default=_RootFS())


class Daemon:
    """A daemon that answers."""

    def __init__(self, client: "httpx.Client", what: str) -> None:
        """Speak to it by `client`; `what` names it in errors."""
        self.client = client
        self.what = what

    def ask(self, path: str) -> bytes | None:
        """Return what it says of something, None when it knows nothing of it; raises CopyError."""
        import httpx

        try:
            with self.client.stream("GET", path) as answer:
                if answer.status_code == 404:
                    return None
                if answer.status_code != 200:
                    raise self.failed(answer)
                return self._read(answer, _MAX_SAID)
        except httpx.HTTPError as e:
            raise self.broken(e) from None

    def image(self, name: str) -> Held | None:
        """Return what a name or ID stands for there; raises CopyError, InvalidImage."""
        said = self.ask(f"{path_of(name)}/json")
        if said is None:
            return None
        found = decode(said, _Inspected, f"{self.what}: its description")
        layers = tuple(digests.parse(layer) for layer in found.rootfs.layers or ())
        return Held(digests.parse(found.id), layers)

    def inventory(self) -> Inventory:
        """Return what need not be sent there; nothing of a daemon that keeps blobs of its own."""
        info = decode(self.ask("/info") or b"{}", _Info, f"{self.what}: its description")
        if any(_CONTAINERD in word for words in info.driver_status or () for word in words):
            return Inventory("docker")
        listed = decode(
            self.ask("/images/json") or b"[]", list[_Listed], f"{self.what}: its images"
        )
        found = (self.image(each.id) for each in listed[:_MAX_IMAGES])
        return Inventory("docker", tuple(held for held in found if held))

    def failed(self, answer: "httpx.Response") -> CopyError:
        """Return what an answer says is wrong, in one line."""
        try:
            words = decode(self._read(answer, _MAX_ERROR), _Message, "answer").message
        except FerryError:
            words = f"it answers with {answer.status_code}"
        return self.error(words)

    def broken(self, error: Exception) -> CopyError:
        """Return what is wrong with the connection."""
        return self.error(str(error) or type(error).__name__)

    def error(self, words: str) -> CopyError:
        """Return an error of a stranger's words, in one line."""
        return CopyError(f"{self.what}: {' '.join(words.split())[:500]}")

    def _read(self, answer: "httpx.Response", limit: int) -> bytes:
        said = bytearray()
        for piece in answer.iter_raw(_PIECE):
            said += piece
            if len(said) > limit:
                raise self.error(f"it answers with more than {limit} bytes")
        return bytes(said)


def path_of(name: str) -> str:
    """Return the path of an image in the API."""
    return f"/images/{quote(name, safe='/:@')}"


@contextmanager
def connected(what: str) -> Iterator[Daemon]:
    """Give the daemon of ``DOCKER_HOST``, or of this machine; raises CopyError."""
    import httpx  # only here: it takes long to import

    host = os.environ.get("DOCKER_HOST") or _SOCKET
    scheme, _, place = host.partition("://")
    if scheme not in ("unix", "tcp") or (scheme == "tcp" and os.environ.get("DOCKER_TLS_VERIFY")):
        raise CopyError(
            f"{what}: a daemon at {host[:200]}, or one by TLS, is not reached: use ssh://HOST/IMAGE"
        )
    transport = httpx.HTTPTransport(uds=place if scheme == "unix" else None)
    base = "http://docker" if scheme == "unix" else f"http://{place}"
    timeout = httpx.Timeout(_SECONDS, read=_LOADING_SECONDS)
    try:
        with httpx.Client(transport=transport, base_url=base, timeout=timeout) as client:
            daemon = Daemon(client, what)
            try:
                client.head("/_ping").raise_for_status()
            except httpx.HTTPError as e:
                raise daemon.error(
                    f"Cannot connect to the Docker daemon at {host}. Is the docker daemon "
                    f"running? ({e})"
                ) from None
            yield daemon
    except httpx.InvalidURL as e:
        raise CopyError(f"{what}: {e}") from None
