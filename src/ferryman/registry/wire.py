"""HTTP/1.1 on connections that are kept, by the standard library's parser of it.

Bodies are read straight into the reader's buffers; what is slow by intent ends in an error.
"""

import http.client
import socket
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from ferryman.archive.stream import CHUNK, Stream
from ferryman.errors import RegistryError
from ferryman.registry import proxy as proxies
from ferryman.registry.broken import Broken, broken, not_connected
from ferryman.registry.hosts import Tls
from ferryman.registry.limits import Limits
from ferryman.registry.patience import PatientSocket
from ferryman.registry.proxy import Proxy
from ferryman.registry.url import Url

if TYPE_CHECKING:
    import ssl

_DRAINED = 64 << 10
"""Bytes of a body nobody wants that are read on, for the connection's sake."""


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
            raise broken(e) from None
        if not n and view:
            if self._response.length:
                self.abandon()
                raise Broken("unexpected EOF")
            self.release()
        return n

    def content(self, limit: int) -> bytes:
        """Return a small body whole; raises Broken, and RegistryError when it is too large."""
        if self._over:
            return b""  # the connection is somebody else's by now
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

    def __init__(self, url: Url, key: tuple[object, ...], wire: PatientSocket) -> None:
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
        proxy = proxies.of(url)
        connection = self._take(url, tls, proxy)
        try:
            self._send(connection, method, url, headers, body, proxy)
            connection.wire.deadline = time.monotonic() + self.limits.head
            response = connection.getresponse()
            connection.wire.deadline = None
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            raise broken(e) from None
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

    def _take(self, url: Url, tls: Tls, proxy: "Proxy | None") -> _Connection:
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

    def _connected(self, url: Url, tls: Tls, proxy: "Proxy | None") -> PatientSocket:
        to = proxy or url
        try:
            sock = socket.create_connection((to.host, to.port), self.limits.connect)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if url.scheme == "https":
                    if proxy:
                        proxies.tunnel(sock, url, proxy)
                    context = self._context(tls)
                    sock = context.wrap_socket(sock, server_hostname=url.host)
            except BaseException:
                sock.close()
                raise
        except OSError as e:
            raise not_connected(e, to.host, to.port) from None
        return PatientSocket(sock, self.limits, self.stop)

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
        proxy: "Proxy | None",
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


def _send_body(wire: PatientSocket, body: Body) -> None:
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
