"""Ports as EXPOSE and ``--publish`` take them: ``80``, ``53/udp``, ``[::1]:8000-8009:80``."""

from typing import NamedTuple

_PROTOCOLS = ("tcp", "udp", "sctp")


class Published(NamedTuple):
    """A port of a container, as ``80/tcp``, and where on the host it is to be.

    `host_port` is empty for any that is free, and a range (``8000-8010``) for any in it.
    """

    port: str
    host_ip: str
    host_port: str


def exposed(spec: str) -> list[str]:
    """Return the ports of a specification, each as ``80/tcp``.

    What stands before it, as in ``127.0.0.1:8080:80``, is for whoever publishes them: it is checked
    and left out.  Raises ValueError in docker's words.
    """
    return [each.port for each in published(spec)]


def published(spec: str) -> list[Published]:
    """Return ``[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]``, each port of it; raises ValueError."""
    address, _, outside = spec.rpartition(":")[0].rpartition(":")
    inside, _, protocol = spec.rpartition(":")[2].partition("/")
    if not inside:
        raise ValueError(f"No port specified: {spec}<empty>")
    host_ip = _address(address)
    ports = _range(inside)
    if ports is None:
        raise ValueError(f"Invalid containerPort: {inside}")
    host_ports = _host_ports(outside, inside, ports) if outside else [""] * len(ports)
    if protocol and protocol.lower() not in _PROTOCOLS:
        raise ValueError(f"Invalid proto: {protocol}")
    return [
        Published(f"{port}/{protocol.lower() or 'tcp'}", host_ip, host_port)
        for port, host_port in zip(ports, host_ports, strict=True)
    ]


def _host_ports(outside: str, inside: str, ports: range) -> list[str]:
    """Return the host's port for each of a container's."""
    found = _range(outside)
    if found is None:
        raise ValueError(f"Invalid hostPort: {outside}")
    if len(ports) == 1 and len(found) > 1:
        return [f"{found[0]}-{found[-1]}"]
    if len(ports) != len(found):
        raise ValueError(
            f"Invalid ranges specified for container and host Ports: {inside} and {outside}"
        )
    return list(map(str, found))


def _range(text: str) -> range | None:
    first, dash, last = text.partition("-")
    start, end = _number(first), _number(last if dash else first)
    if start is None or end is None or end < start:
        return None
    return range(start, end + 1)


def _number(text: str) -> int | None:
    # As long as that, it is none; and int would refuse thousands of digits.
    if not (text.isascii() and text.isdecimal()) or len(text.lstrip("0")) > 5:
        return None
    return int(text) if int(text) < 2**16 else None


def _address(text: str) -> str:
    if not text:
        return ""
    from ipaddress import ip_address

    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ip_address(bare)
    except ValueError:
        raise ValueError(f"Invalid ip address: {bare}") from None
    return bare
