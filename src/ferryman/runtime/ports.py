"""Published ports: which there are to be, and the sockets that keep them from everybody else.

A socket that is bound to the port says that it is taken, to this store, to other programs and to
other engines; the container's monitor holds it, so that it is free again when that ends.  Packets
never come to it: the firewall turns them away before.
"""

import errno
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ferryman.errors import Conflict
from ferryman.runtime.record import Container
from ferryman.runtime.settings import InvalidSettings, PortBinding

_PATIENCE = 1.0
"""Seconds for a monitor whose container has just ended to end too."""

_SCTP = 132
_PROTOCOLS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, _SCTP),
}


class PortTaken(Conflict):
    """A port of the host that a container is to have is somebody else's."""

    exit_code = 125


class Held(NamedTuple):
    """The ports of a container that is about to start, and the sockets that keep them."""

    ports: dict[str, list[PortBinding]]
    """By ``80/tcp``, with the addresses and ports of the host as they turned out."""
    sockets: Sequence[socket.socket]

    @property
    def files(self) -> list[int]:
        """The descriptors of the sockets."""
        return [each.fileno() for each in self.sockets]

    def close(self) -> None:
        """Let go of the sockets; those that the monitor has stay."""
        for each in self.sockets:
            each.close()


def wanted(container: Container) -> Iterator[tuple[str, PortBinding]]:
    """Yield what a container wants to have published, those with a port of their own first."""
    host = container.host_config
    bindings = {key: list(each) for key, each in (host.port_bindings or {}).items() if each}
    if host.publish_all_ports:
        for exposed in container.config.exposed_ports or ():
            port = exposed if "/" in exposed else f"{exposed}/tcp"
            bindings.setdefault(port, [PortBinding()])
    every = [(key, binding) for key, each in bindings.items() for binding in each]
    # A port that is chosen must not be one that another of the same container asks for.
    return iter(sorted(every, key=lambda each: not each[1].host_port))


def hold(container: Container, *, ipv6: bool = False) -> Held:
    """Take all ports that a container wants to have published; raises PortTaken, InvalidSettings.

    With `ipv6` those that name no address are taken of both versions.
    """
    ports: dict[str, list[PortBinding]] = {}
    sockets: list[socket.socket] = []
    inherited = _inherited()
    try:
        for key, binding in wanted(container):
            addresses = [binding.host_ip or "0.0.0.0"]
            if ipv6 and not binding.host_ip:
                addresses.append("::")
            port, held = _held(container, key, addresses, binding.host_port, inherited)
            sockets += held
            found = ports.setdefault(key, [])
            found += [PortBinding(address, str(port)) for address in addresses]
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return Held(ports, sockets)


def _held(
    container: Container,
    key: str,
    addresses: Sequence[str],
    text: str,
    inherited: dict[tuple[int, str, int], socket.socket],
) -> tuple[int, list[socket.socket]]:
    """Take one port, the same at each address."""
    protocol = key.partition("/")[2] or "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidSettings(f"invalid proto: {protocol}")
    candidates = _range(text)
    deadline = time.monotonic() + _PATIENCE
    while True:
        failed: OSError | None = None
        for candidate in candidates:
            try:
                return _bound(addresses, protocol, candidate, inherited)
            except OSError as e:
                failed = e
                if e.errno != errno.EADDRINUSE:
                    break
        assert failed is not None
        if failed.errno != errno.EADDRINUSE or time.monotonic() > deadline:
            raise _refused(container, key, addresses[0], text, failed)
        time.sleep(0.02)


def _range(text: str) -> range:
    """Return the ports that may be taken; 0 is any that is free."""
    first, dash, last = (text or "0").partition("-")
    try:
        return range(int(first), int(last if dash else first) + 1)
    except ValueError:
        raise InvalidSettings(f"invalid port specification: {text}") from None


def _bound(
    addresses: Sequence[str],
    protocol: str,
    port: int,
    inherited: dict[tuple[int, str, int], socket.socket],
) -> tuple[int, list[socket.socket]]:
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            kind = _PROTOCOLS[protocol][1]
            held = inherited.pop((kind, address, port), None) or _socket(address, protocol, port)
            if held is None:
                continue
            sockets.append(held)
            port = held.getsockname()[1]
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return port, sockets


def _socket(address: str, protocol: str, port: int) -> socket.socket | None:
    """Return a socket that is bound to a port; None where the kernel has not got the protocol."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        made = socket.socket(family, *_PROTOCOLS[protocol])
    except OSError:
        return None
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            made.bind((address, port))
        except OSError as e:
            if e.errno != errno.EADDRINUSE or protocol != "tcp":
                raise
            # Connections of one who had the port before may linger, which is no harm: a socket
            # that listens may be bound nevertheless, but only if there is no other.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            made.listen(1)
    except BaseException:
        made.close()
        raise
    return made


def _inherited() -> dict[tuple[int, str, int], socket.socket]:
    """Return bound sockets that this process was started with.

    A monitor whose container is to be started again has them, and so has what it calls.
    """
    found: dict[tuple[int, str, int], socket.socket] = {}
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number < 3:
            continue
        with suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            same = socket.socket(fileno=os.dup(number))
            if same.family in (socket.AF_INET, socket.AF_INET6):
                address, port = same.getsockname()[:2]
                found[same.proto, address, port] = same
            else:
                same.close()
    return found


def _refused(container: Container, key: str, address: str, text: str, error: OSError) -> PortTaken:
    shown = f"[{address}]" if ":" in address else address
    end = f"driver failed programming external connectivity on endpoint {container.name}"
    if error.errno == errno.EADDRINUSE and "-" in text:
        what = f"Bind for {shown}:{text} failed: all ports are allocated"
    elif error.errno == errno.EADDRINUSE:
        what = f"Bind for {shown}:{text} failed: port is already allocated"
    else:
        reason = (error.strerror or str(error)).lower()
        what = f"failed to bind host port {shown}:{text}/{key.partition('/')[2]}: {reason}"
    return PortTaken(f"{end} ({container.id}): {what}")
