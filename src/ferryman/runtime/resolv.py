"""What a container finds in ``/etc/hosts``, ``/etc/hostname`` and ``/etc/resolv.conf``.

As docker writes them: resolv.conf is the host's, without name servers that only the host itself
can reach, unless the container is in a network whose own name server knows its containers.
"""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from ferryman.errors import StoreError
from ferryman.rootfs.namespace import ordinary
from ferryman.runtime import networks, pasta, record
from ferryman.runtime.record import Container, Endpoint
from ferryman.store.layout import Store

FILES = ("hostname", "hosts", "resolv.conf")
_HOSTS = "/etc/hosts"
_RESOLV = "/etc/resolv.conf"
_RESOLVED = "/run/systemd/resolve/resolv.conf"
_STUB = "127.0.0.53"
"""Where systemd-resolved listens, for the host alone; the other file has the real servers."""
_FALLBACK = ("8.8.8.8", "8.8.4.4")
_MAX = 1 << 20

_LOOPBACK = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
_GATEWAY = "host-gateway"


class ResolvConf(NamedTuple):
    """The content of a ``resolv.conf`` (resolv.conf(5))."""

    nameservers: Sequence[str] = ()
    search: Sequence[str] = ()
    options: Sequence[str] = ()
    other: Sequence[str] = ()

    def text(self) -> str:
        """Write it as a file."""
        lines = [f"nameserver {server}" for server in self.nameservers]
        if self.search:
            lines.append(f"search {' '.join(self.search)}")
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(f"{line}\n" for line in (*lines, *self.other))


def write(
    store: Store,
    container: Container,
    bundle: str,
    endpoints: Mapping[str, Endpoint] | None = None,
) -> None:
    """Write the three files to a bundle, in place if they are there: they may be mounted.

    `endpoints` are the container's places in its networks as soon as it has them.  A container in
    the network of another has that one's files.  Raises StoreError.
    """
    mode = container.host_config.network_mode
    if mode.startswith("container:"):
        _link(store, mode.removeprefix("container:"), bundle)
        return
    for name, content in _contents(store, container, endpoints or {}).items():
        _write(f"{bundle}/{name}", content)


def rewrite(
    store: Store,
    bundle: str,
    before: tuple[Container, Mapping[str, Endpoint]],
    after: tuple[Container, Mapping[str, Endpoint]],
) -> None:
    """Bring the files of a container that runs up to date when its networks have changed.

    What somebody has written to since stays as it is, as in docker.  Raises StoreError.
    """
    new = _contents(store, *after)
    for name, content in _contents(store, *before).items():
        if new[name] != content and _read(f"{bundle}/{name}") == content:
            _write(f"{bundle}/{name}", new[name])


def _contents(
    store: Store, container: Container, endpoints: Mapping[str, Endpoint]
) -> dict[str, str]:
    return {
        "hostname": hostname(container),
        "hosts": hosts(container, endpoints),
        "resolv.conf": resolv_conf(store, container, endpoints),
    }


def _write(path: str, content: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as f:
            f.write(content)
    except OSError as e:
        raise StoreError(f"cannot write {path}: {e.strerror}") from None


def _link(store: Store, other: str, bundle: str) -> None:
    theirs = f"{record.folder(store, record.find(store, other).id)}/bundle"
    for name in FILES:
        with suppress(FileExistsError):
            os.symlink(f"{theirs}/{name}", f"{bundle}/{name}")


def hostname(container: Container) -> str:
    """Return the content of ``/etc/hostname``."""
    return f"{container.config.hostname or socket.gethostname()}\n"


def hosts(container: Container, endpoints: Mapping[str, Endpoint]) -> str:
    """Return the content of ``/etc/hosts``."""
    extra = container.host_config.extra_hosts or ()
    if container.host_config.network_mode == "host" and not extra:
        return _read(_HOSTS)
    lines = [*_LOOPBACK, *_extra(extra, endpoints)]
    names = container.config.hostname
    if container.config.domainname:
        names += f".{container.config.domainname}"
    first, dot, _ = names.partition(".")
    if dot:
        names += f" {first}"
    for place in endpoints.values():
        for address in (place.ip_address, place.global_ipv6_address):
            if address:
                lines.append((address, names))
    return "".join(f"{address}\t{names}\n" for address, names in lines)


def _extra(extra: Iterable[str], endpoints: Mapping[str, Endpoint]) -> Iterable[tuple[str, str]]:
    for text in extra:
        name, _, address = text.partition(":")
        if address.startswith("[") and address.endswith("]"):
            address = address[1:-1]
        yield _host(endpoints) if address == _GATEWAY else address, name


def _host(endpoints: Mapping[str, Endpoint]) -> str:
    """Return the address at which a container finds this machine."""
    if endpoints and ordinary():
        return pasta.host_address()
    return next((place.gateway for place in endpoints.values() if place.gateway), "127.0.0.1")


def resolv_conf(store: Store, container: Container, endpoints: Mapping[str, Endpoint]) -> str:
    """Return the content of ``/etc/resolv.conf``; raises StoreError."""
    host = container.host_config
    found = _of_host()
    found = found._replace(
        nameservers=host.dns or found.nameservers,
        search=[each for each in host.dns_search or found.search if each != "."]
        if host.dns_search
        else found.search,
        options=host.dns_options or found.options,
    )
    if host.network_mode == "host":
        return found.text()
    servers = _name_servers(store, container, endpoints)
    if servers:
        if not any(option.partition(":")[0] == "ndots" for option in found.options):
            found = found._replace(options=[*found.options, "ndots:0"])
        return found._replace(nameservers=servers).text()
    if not host.dns:
        reachable = [server for server in found.nameservers if not _only_here(server)]
        found = found._replace(nameservers=reachable or _FALLBACK)
    return found.text()


def _name_servers(
    store: Store, container: Container, endpoints: Mapping[str, Endpoint]
) -> list[str]:
    """Return the addresses of the networks' own name servers."""
    return [
        endpoints[name].gateway or endpoints[name].ipv6_gateway
        for name in container.networks
        if name in endpoints and networks.find(store, name).names
    ]


def _only_here(server: str) -> bool:
    """Tell whether a name server cannot be reached from a container."""
    return ":" in server or ip_address(server).is_loopback


def _of_host() -> ResolvConf:
    found = parse(_read(_RESOLV))
    if list(found.nameservers) == [_STUB]:
        return parse(_read(_RESOLVED)) if os.path.exists(_RESOLVED) else found
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read(_MAX)
    except OSError:
        return ""


def parse(text: str) -> ResolvConf:
    """Return the content of a ``resolv.conf``; name servers that are no address are left out."""
    nameservers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    other: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or line[0] in "#;":
            continue
        if words[0] == "nameserver":
            with suppress(ValueError, IndexError):
                ip_address(words[1].partition("%")[0])
                nameservers.append(words[1])
        elif words[0] in ("domain", "search"):
            search = words[1:] or search
        elif words[0] == "options":
            options += words[1:]
        else:
            other.append(line)
    return ResolvConf(nameservers, search, options, other)
