"""What stands between here and a registry, by the usual variables of the environment."""

import base64
import ipaddress
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ferryman.errors import RegistryError
from ferryman.registry.url import Url

_MAX_HEAD = 64 << 10


class Proxy(NamedTuple):
    """Where a proxy is, and what proves to it who asks."""

    host: str
    port: int
    authorization: str


def of(url: Url) -> Proxy | None:
    """Return what stands between here and a server, by the usual variables of the environment."""
    text = _variable(f"{url.scheme}_proxy")
    if not text or _direct(url, _variable("no_proxy")):
        return None
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme != "http" or not parts.hostname:
        raise RegistryError(f"{url.scheme}_proxy: only proxies of the form http://HOST:PORT work")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
    return Proxy(parts.hostname, parts.port or 80, authorization)


def _variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.upper()) or ""


def _direct(url: Url, exceptions: str) -> bool:
    """Tell whether no proxy is to be asked: for this machine never."""
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    with suppress(ValueError):
        address = ipaddress.ip_address(url.host)
    if url.host == "localhost" or (address and address.is_loopback):
        return True
    for each in (part.strip().lower() for part in exceptions.split(",")):
        name, _, port = each.partition(":") if each.count(":") == 1 else (each, "", "")
        if port and port != str(url.port):
            continue
        suffix = name.removeprefix("*").removeprefix(".")
        if name == "*" or (name and (url.host == suffix or url.host.endswith(f".{suffix}"))):
            return True
        if address and "/" in each:
            try:
                if address in ipaddress.ip_network(each, strict=False):
                    return True
            except ValueError:
                continue
    return False


def tunnel(sock: socket.socket, url: Url, proxy: Proxy) -> None:
    """Have a proxy pass everything on (RFC 9110, section 9.3.6)."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    lines: Sequence[str] = (
        f"CONNECT {host}:{url.port} HTTP/1.1",
        f"Host: {host}:{url.port}",
        *([f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []),
    )
    sock.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1"))
    head = b""
    # By the byte: what comes after the head is not the proxy's any more.
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        head += byte
        if not byte or len(head) > _MAX_HEAD:
            raise OSError(None, "the proxy gave no answer")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        words = head.partition(b"\r\n")[0].decode("latin-1")
        raise OSError(None, f"the proxy refused: {words[:200]}")
