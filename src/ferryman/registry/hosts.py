"""Where a registry is to be found, and what its certificate is held against.

Three places say that, all of them optional:

``registries.toml``, in ``/etc/ferry`` and the user's ``~/.config/ferry`` (``FERRY_REGISTRIES``
names one file in place of both)::

    insecure = ["registry.lan:5000", "10.0.0.0/8"]  # no certificate is asked for, or plain HTTP
    downloads = 4                                   # blobs at once
    uploads = 4
    rate = "10MB"                                   # bytes a second, of all together
    chunk = "0"                                     # upload in pieces of so much

    [mirrors]
    "docker.io" = ["https://mirror.lan:5000"]       # asked first by pull

docker's own ``/etc/docker/daemon.json``: ``insecure-registries``, ``registry-mirrors`` and
``max-concurrent-downloads`` and ``-uploads``.

``certs.d/HOST[:PORT]/`` in ``/etc/docker``, ``/etc/containers``, ``/etc/ferry`` and their like in
``~/.config``: ``*.crt`` are authorities, ``*.cert`` with ``*.key`` are the user's certificates.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ferryman.errors import FerryError, InvalidImage
from ferryman.image.decode import decode
from ferryman.image.reference import DEFAULT_DOMAIN

_HUB_HOST = "registry-1.docker.io"
_MAX_CONFIG = 1 << 20
_ALWAYS_INSECURE = ("127.0.0.0/8", "::1/128")
_SIZE = re.compile(r"(\d{1,12})\s*([kKmMgG]?)[bB]?")
_FACTORS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}


class HostsError(FerryError):
    """A file about registries that cannot be read, or does not have the form it must have."""


class Tls(NamedTuple):
    """What a server's certificate is held against, and the user's own certificates."""

    verify: bool = True
    authorities: tuple[str, ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()


class Endpoint(NamedTuple):
    """One address at which a registry may answer."""

    scheme: str
    host: str
    """With the port, where it is not the usual one."""
    tls: Tls = Tls()
    prefix: str = ""
    mirror: bool = False

    @property
    def url(self) -> str:
        """The URL below which the API is."""
        return f"{self.scheme}://{self.host}{self.prefix}"

    @property
    def insecure(self) -> bool:
        """Whether anybody in between could read along."""
        return self.scheme == "http" or not self.tls.verify


class Hosts(NamedTuple):
    """What the user has said about registries."""

    insecure: tuple[str, ...] = ()
    mirrors: Mapping[str, Sequence[str]] = {}
    downloads: int = 3
    uploads: int = 5
    rate: int = 0
    chunk: int = 0
    """Bytes of one piece of an upload; 0 for all at once."""

    def endpoints(self, domain: str, *, pull: bool) -> list[Endpoint]:
        """Return where to look for a registry, the best place first.

        One that is insecure is tried by HTTPS first, whatever its certificate, as docker does.
        """
        found: list[Endpoint] = []
        for url in self.mirrors.get(domain, ()) if pull else ():
            scheme, _, rest = url.partition("://")
            host, slash, path = rest.rstrip("/").partition("/")
            if scheme == "http":
                found.append(Endpoint("http", host, prefix=slash + path, mirror=True))
            else:
                found.append(Endpoint("https", host, self.tls(host), slash + path, mirror=True))
        host = _HUB_HOST if domain == DEFAULT_DOMAIN else domain
        tls = self.tls(host)
        found.append(Endpoint("https", host, tls))
        if not tls.verify:
            found.append(Endpoint("http", host))
        return found

    def tls(self, host: str) -> Tls:
        """Return how a host is to show who it is."""
        authorities, certificates = _certificates(host)
        explicit = _among(host, self.insecure)
        # Somebody who names an authority for this very machine wants it to be asked for.
        insecure = explicit or (not authorities and _among(host, _ALWAYS_INSECURE))
        return Tls(not insecure, authorities, certificates)


def load() -> Hosts:
    """Read what the user and the machine's administrator have said; raises HostsError."""
    hosts = from_docker("/etc/docker/daemon.json")
    if path := os.environ.get("FERRY_REGISTRIES"):
        return _with(hosts, path)
    return _with(_with(hosts, "/etc/ferry/registries.toml"), f"{_user()}/ferry/registries.toml")


def _user() -> str:
    return os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")


def from_docker(path: str) -> Hosts:
    """Return what a `daemon.json` of docker's says; raises HostsError."""
    content = _content(path)
    if content is None:
        return Hosts()
    try:
        said = decode(content or b"{}", dict[str, Any], path)
        return Hosts(
            insecure=tuple(_texts(said.get("insecure-registries", []), path)),
            mirrors={DEFAULT_DOMAIN: _mirrors(said.get("registry-mirrors", []), path)},
            downloads=_number(said.get("max-concurrent-downloads", Hosts().downloads), path),
            uploads=_number(said.get("max-concurrent-uploads", Hosts().uploads), path),
        )
    except InvalidImage as e:
        raise HostsError(str(e)) from None


_KEYS = frozenset(("insecure", "mirrors", "downloads", "uploads", "rate", "chunk"))


def _with(hosts: Hosts, path: str) -> Hosts:
    content = _content(path)
    if content is None:
        return hosts
    try:
        said = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise HostsError(f"{path}: {e}") from None
    if unknown := sorted(said.keys() - _KEYS):
        raise HostsError(f"{path}: unknown key {unknown[0]!r}: one of {', '.join(sorted(_KEYS))}")
    mirrors = said.get("mirrors", {})
    if not isinstance(mirrors, dict):
        raise HostsError(f"{path}: mirrors is to be a table of registries and lists of URLs")
    new = {domain: _mirrors(urls, path) for domain, urls in mirrors.items()}
    return Hosts(
        insecure=(*hosts.insecure, *_texts(said.get("insecure", []), path)),
        mirrors={**hosts.mirrors, **new},
        downloads=_number(said.get("downloads", hosts.downloads), path),
        uploads=_number(said.get("uploads", hosts.uploads), path),
        rate=_size(said.get("rate", hosts.rate), path),
        chunk=_size(said.get("chunk", hosts.chunk), path),
    )


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as f:
            return f.read(_MAX_CONFIG)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as e:
        raise HostsError(f"cannot read {path}: {e.strerror}") from None


def _texts(value: object, path: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise HostsError(f"{path}: a list of texts is needed where there is {value!r}")
    return value


def _mirrors(value: object, path: str) -> list[str]:
    urls = _texts(value, path)
    for url in urls:
        scheme, separator, rest = url.partition("://")
        if scheme not in ("http", "https") or not separator or not rest or "@" in rest:
            raise HostsError(
                f"{path}: invalid mirror: {url.rpartition('@')[2]} is no URL of a host"
            )
    return urls


def _number(value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 64:
        raise HostsError(f"{path}: a number from 1 to 64 is needed where there is {value!r}")
    return value


def _size(value: object, path: str) -> int:
    match = _SIZE.fullmatch(str(value))
    if isinstance(value, bool) or match is None:
        raise HostsError(f"{path}: a size like '10MB' is needed where there is {value!r}")
    return int(match.group(1)) * _FACTORS[match.group(2).lower()]


def bare(host: str) -> str:
    """Return a host without its port and without the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _among(host: str, patterns: Sequence[str]) -> bool:
    """Tell whether a host is one of these names, or in one of these networks."""
    name = bare(host)
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    with suppress(ValueError):
        address = ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)
    for pattern in patterns:
        if pattern in (host, name):
            return True
        if address and "/" in pattern:
            try:
                if address in ipaddress.ip_network(pattern, strict=False):
                    return True
            except ValueError:
                continue
    return False


def _certificates(host: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    authorities: list[str] = []
    certificates: list[tuple[str, str]] = []
    for folder in _folders(host):
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except OSError as e:
            raise HostsError(f"cannot read {folder}: {e.strerror}") from None
        for name in names:
            if name.endswith(".crt"):
                authorities.append(f"{folder}/{name}")
            elif name.endswith(".cert"):
                key = f"{folder}/{name.removesuffix('.cert')}.key"
                if not os.path.exists(key):
                    raise HostsError(f"missing key {key} for client certificate {folder}/{name}")
                certificates.append((f"{folder}/{name}", key))
    return tuple(authorities), tuple(certificates)


def _folders(host: str) -> Iterator[str]:
    for base in ("/etc", _user()):
        for tool in ("docker", "containers", "ferry"):
            yield f"{base}/{tool}/certs.d/{host}"
