"""HTTP/1.1 on connections that are kept, by the standard library's parser of it.

Beyond what that does: bodies are read straight into the reader's buffers, what is slow by intent
ends in an error (`limits`), and whatever waits for the network looks at `stop` twice a second.
"""

import base64
import http.client
import io
import ipaddress
import os
import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import unquote, urljoin, urlsplit

from ferryman.archive.stream import CHUNK, Stream
from ferryman.errors import Interrupted, RegistryError
from ferryman.registry.hosts import Tls
from ferryman.registry.limits import Limits

if TYPE_CHECKING:
    import ssl

_SLICE = 0.5
"""Seconds of waiting after which somebody looks whether it is still to go on."""

_PORTS = {"http": 80, "https": 443}
_DRAINED = 64 << 10
"""Bytes of a body nobody wants that are read on, for the connection's sake."""


class Broken(Exception):
    """A connection that was not made or broke; the words are those of docker's network library."""

    def __init__(self, words: str, *, again: bool = True) -> None:
        """`again` tells whether another attempt might end better."""
        super().__init__(words)
        self.again = again


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
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

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
    if parts.scheme not in _PORTS or not parts.hostname or bad:
        raise RegistryError(f"invalid URL {text.partition('?')[0][:200]!r}")
    return Url(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], target)


class Body(NamedTuple):
    """What is sent with a request; of a size that is not known beforehand with None."""

    stream: Stream
    size: int | None


class Answer:
    """What came back; its body is read, or given up, before the connection is used again."""

    def __init__(
        self, response: http.client.HTTPResponse, url: Url, connection: "_Connection", pool: "Pool"
    ) -> None:
        """Take over a response whose head has been read."""
        self.status = response.status
        self.url = url
        self._response = response
        self._connection = connection
        self._pool = pool
        self._over = False

    @property
    def reason(self) -> str:
        """The status in words: ``404 Not Found``."""
        words = http.client.responses.get(self.status, "")
        return f"{self.status} {words}".strip()

    def header(self, name: str) -> str:
        """Return a header of the answer; empty when it is not there."""
        return self._response.getheader(name) or ""

    def every(self, name: str) -> list[str]:
        """Return all headers of a name."""
        return self._response.headers.get_all(name) or []

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end.

        Raises Broken when the body ends before it should.
        """
        try:
            n = self._response.readinto(view)
        except (OSError, http.client.HTTPException) as e:
            self.abandon()
            raise _broken(e, self.url) from None
        if not n and view:
            if self._response.length:
                self.abandon()
                raise Broken("unexpected EOF")
            self.release()
        return n

    def content(self, limit: int) -> bytes:
        """Return a small body whole; raises Broken, and RegistryError when it is too large."""
        self._connection.wire.deadline = time.monotonic() + self._pool.limits.head
        parts = bytearray()
        view = memoryview(bytearray(min(limit, _DRAINED) + 1))
        while n := self.readinto(view):
            parts += view[:n]
            if len(parts) > limit:
                self.abandon()
                raise RegistryError(
                    f"{self.url.shown}: the answer has more than the {limit} bytes it may have"
                )
        return bytes(parts)

    def release(self) -> None:
        """Be done with the answer; the connection serves the next request, if it can."""
        connection, response = self._connection, self._response
        if self._over:
            return
        self._over = True
        try:
            if not response.isclosed():
                length = response.length
                if length is None or length > _DRAINED:
                    self.abandon()
                    return
                connection.wire.deadline = time.monotonic() + self._pool.limits.idle
                response.read()
        except (OSError, http.client.HTTPException):
            self.abandon()
            return
        if response.will_close:
            connection.close()
        else:
            self._pool.give_back(connection)

    def abandon(self) -> None:
        """Be done with the answer, and with the connection."""
        self._over = True
        self._response.close()
        self._connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection that is there already, to a server or a proxy."""

    def __init__(self, url: Url, key: tuple[object, ...], wire: "_Wire") -> None:
        super().__init__(url.host, url.port)
        self.key = key
        self.wire = wire
        self.sock = cast(socket.socket, wire)  # it has all that http.client needs of one
        self.auto_open = 0


class Pool:
    """The connections of one command; several threads may use it at once."""

    def __init__(self, limits: Limits, stop: threading.Event) -> None:
        """Make connections that keep to `limits`, and end with Interrupted once `stop` is set."""
        self.limits = limits
        self.stop = stop
        self._idle: dict[tuple[object, ...], list[_Connection]] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def exchange(
        self, method: str, url: Url, headers: Mapping[str, str], body: Body | None, tls: Tls
    ) -> Answer:
        """Send a request and return the answer, its body still to be read.  Raises Broken."""
        proxy = _proxy(url)
        connection = self._take(url, tls, proxy)
        try:
            self._send(connection, method, url, headers, body, proxy)
            connection.wire.deadline = time.monotonic() + self.limits.head
            response = connection.getresponse()
            connection.wire.deadline = None
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            raise _broken(e, url) from None
        except BaseException:
            connection.close()
            raise
        answer = Answer(response, url, connection, self)
        if response.isclosed():
            answer.release()
        return answer

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection for the next request."""
        with self._lock:
            self._idle.setdefault(connection.key, []).append(connection)

    def close(self) -> None:
        """Close the connections that wait."""
        with self._lock:
            for connection in (each for idle in self._idle.values() for each in idle):
                connection.close()
            self._idle.clear()

    def _take(self, url: Url, tls: Tls, proxy: "_Proxy | None") -> _Connection:
        key = (*url.origin, tls, proxy)
        while True:
            with self._lock:
                idle = self._idle.get(key)
                connection = idle.pop() if idle else None
            if connection is None:
                return _Connection(url, key, self._connected(url, tls, proxy))
            if connection.wire.fresh():
                return connection
            connection.close()

    def _connected(self, url: Url, tls: Tls, proxy: "_Proxy | None") -> "_Wire":
        to = proxy or url
        try:
            sock = socket.create_connection((to.host, to.port), self.limits.connect)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if url.scheme == "https":
                    if proxy:
                        _tunnel(sock, url, proxy)
                    context = self._context(tls)
                    sock = context.wrap_socket(sock, server_hostname=url.host)
            except BaseException:
                sock.close()
                raise
        except OSError as e:
            raise _not_connected(e, to.host, to.port) from None
        return _Wire(sock, self.limits, self.stop)

    def _context(self, tls: Tls) -> "ssl.SSLContext":
        with self._lock:
            context = self._contexts.get(tls)
            if context is None:
                context = self._contexts[tls] = _new_context(tls)
        return context

    def _send(
        self,
        connection: _Connection,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        body: Body | None,
        proxy: "_Proxy | None",
    ) -> None:
        plain_proxy = proxy if url.scheme == "http" else None
        whole = f"http://{url.authority}{url.target}" if plain_proxy else url.target
        connection.putrequest(method, whole, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", url.authority)
        if plain_proxy and plain_proxy.authorization:
            connection.putheader("Proxy-Authorization", plain_proxy.authorization)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is None:
            if method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", "0")
            connection.endheaders()
            return
        if body.size is None:
            connection.putheader("Transfer-Encoding", "chunked")
        else:
            connection.putheader("Content-Length", str(body.size))
        connection.endheaders()
        try:
            _send_body(connection.wire, body)
        except (BrokenPipeError, ConnectionResetError):
            # Whoever hangs up before all is said may have said why.
            return


def _send_body(wire: "_Wire", body: Body) -> None:
    buffer = memoryview(bytearray(CHUNK))
    left = body.size
    while left is None or left:
        n = body.stream.readinto(buffer if left is None else buffer[:left])
        if left is None:
            # In front of each piece of a body whose end is not known stands its length.
            wire.sendall(b"%x\r\n" % n)
            wire.sendall(buffer[:n])
            wire.sendall(b"\r\n")
        else:
            wire.sendall(buffer[:n])
            left -= n
        if not n:
            if left:
                raise Broken("what is to be sent is shorter than it was", again=False)
            return


class _Wire:
    """A socket, as far as http.client needs one, that does not wait for ever."""

    def __init__(self, sock: socket.socket, limits: Limits, stop: threading.Event) -> None:
        sock.settimeout(_SLICE)
        self._sock = sock
        self._limits = limits
        self._stop = stop
        self._readers = 0
        self._closed = False
        self.deadline: float | None = None
        """When that which is being read has to be there, by time.monotonic."""
        self._waited = 0.0
        self._came = 0

    def fresh(self) -> bool:
        """Tell whether nothing has come while nobody asked: not even the end."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def makefile(self, mode: str = "rb", *_: object) -> io.BufferedReader:
        self._readers += 1
        self._waited, self._came = 0.0, 0
        return io.BufferedReader(_Reader(self), 64 << 10)

    def readinto(self, view: memoryview) -> int:
        begin = time.monotonic()
        while True:
            if self._stop.is_set():
                raise Interrupted("interrupted")
            try:
                n = self._sock.recv_into(view)
            except TimeoutError:
                self._check(begin, time.monotonic())
                continue
            now = time.monotonic()
            self._waited += now - begin
            self._came += n
            self._check(begin, now)
            return n

    def _check(self, begin: float, now: float) -> None:
        limits = self._limits
        if self.deadline is not None and now > self.deadline:
            raise TimeoutError("the answer takes too long")
        if now - begin > limits.idle:
            raise TimeoutError(f"nothing came for {limits.idle:g} seconds")
        if self._waited > limits.idle:
            if self._came < limits.pace * self._waited:
                raise TimeoutError(f"slower than {limits.pace} bytes a second")
            self._waited, self._came = 0.0, 0

    def sendall(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        begin = time.monotonic()
        while view:
            if self._stop.is_set():
                raise Interrupted("interrupted")
            try:
                n = self._sock.send(view)
            except TimeoutError:
                if time.monotonic() - begin > self._limits.idle:
                    raise TimeoutError(
                        f"nothing was taken for {self._limits.idle:g} seconds"
                    ) from None
                continue
            view = view[n:]
            begin = time.monotonic()

    def close(self) -> None:
        self._closed = True
        self._settle()

    def reader_closed(self) -> None:
        self._readers -= 1
        self._settle()

    def _settle(self) -> None:
        # http.client closes a connection as soon as it knows that the body is the last of it.
        if self._closed and self._readers <= 0:
            self._sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, view: object) -> int:
        return self._wire.readinto(cast(memoryview, view))

    def close(self) -> None:
        if not self.closed:
            self._wire.reader_closed()
        super().close()


def _new_context(tls: Tls) -> "ssl.SSLContext":
    import ssl

    context = ssl.create_default_context()
    try:
        for authority in tls.authorities:
            context.load_verify_locations(authority)
        for certificate, key in tls.certificates:
            context.load_cert_chain(certificate, key)
    except OSError as e:  # ssl.SSLError is one
        files = ", ".join((*tls.authorities, *(each for pair in tls.certificates for each in pair)))
        raise RegistryError(f"cannot read the certificates {files}: {e.strerror or e}") from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _not_connected(error: OSError, host: str, port: int) -> Broken:
    import ssl

    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, socket.gaierror):
        return Broken(f"dial tcp: lookup {host}: no such host", again=False)
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"tls: failed to verify certificate: x509: {error.verify_message}"
        return Broken(said, again=False)
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
            return Broken("http: server gave HTTP response to HTTPS client", again=False)
        return Broken(f"tls: {error.reason or error}", again=False)
    if isinstance(error, TimeoutError):
        return Broken(f"dial tcp {place}: i/o timeout", again=False)
    return Broken(
        f"dial tcp {place}: connect: {(error.strerror or str(error)).lower()}", again=False
    )


def _broken(error: Exception, url: Url) -> Broken:
    if isinstance(error, TimeoutError):
        return Broken(f"net/http: timeout: {error}")
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return Broken("unexpected EOF")
    if isinstance(error, http.client.HTTPException):
        return Broken(f"malformed HTTP response: {type(error).__name__}", again=False)
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Broken(words.lower())


class _Proxy(NamedTuple):
    host: str
    port: int
    authorization: str


def _proxy(url: Url) -> _Proxy | None:
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
    return _Proxy(parts.hostname, parts.port or 80, authorization)


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


def _tunnel(sock: socket.socket, url: Url, proxy: _Proxy) -> None:
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
        if not byte or len(head) > _DRAINED:
            raise OSError(None, "the proxy gave no answer")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        words = head.partition(b"\r\n")[0].decode("latin-1")
        raise OSError(None, f"the proxy refused: {words[:200]}")
