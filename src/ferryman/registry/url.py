"""Addresses to send requests to, as far as they may be believed and shown."""

from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from ferryman.errors import RegistryError

PORTS = {"http": 80, "https": 443}


class Url(NamedTuple):
    """An address to send a request to."""

    scheme: str
    host: str
    port: int
    target: str
    """The path and the query."""

    @property
    def authority(self) -> str:
        """The host, with the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What two URLs have in common that are of one server."""
        return self.scheme, self.host, self.port

    @property
    def shown(self) -> str:
        """The URL as it may be shown: what comes after the path could be a secret."""
        path = self.target.partition("?")[0]
        return f"{self.scheme}://{self.authority}{path}"


def parse(text: str, base: Url | None = None) -> Url:
    """Return a URL, which may be relative to `base`; a user's name in it is left out.

    Raises RegistryError.
    """
    try:
        if base:
            text = urljoin(f"{base.scheme}://{base.authority}{base.target}", text)
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise RegistryError(f"invalid URL {text.partition('?')[0][:200]!r}") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    bad = any(ord(c) <= 32 or ord(c) >= 127 for c in f"{parts.hostname}{target}")
    if parts.scheme not in PORTS or not parts.hostname or bad:
        raise RegistryError(f"invalid URL {text.partition('?')[0][:200]!r}")
    return Url(parts.scheme, parts.hostname, port or PORTS[parts.scheme], target)
