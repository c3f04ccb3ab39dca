"""Ports as EXPOSE takes them: ``80``, ``53/udp``, ``8000-8003/tcp``."""


def exposed(spec: str) -> list[str]:
    """Return the ports of a specification, each as ``80/tcp``.

    What stands before it, as in ``127.0.0.1:8080:80``, is for whoever publishes them: it is checked
    and left out.  Raises ValueError in docker's words.
    """
    address, _, published = spec.rpartition(":")[0].rpartition(":")
    inside, _, protocol = spec.rpartition(":")[2].partition("/")
    _check_address(address)
    if not inside:
        raise ValueError(f"No port specified: {spec}<empty>")
    ports = _range(inside)
    if ports is None:
        raise ValueError(f"Invalid containerPort: {inside}")
    if published:
        outside = _range(published)
        if outside is None:
            raise ValueError(f"Invalid hostPort: {published}")
        if len(ports) not in (1, len(outside)):
            raise ValueError(
                f"Invalid ranges specified for container and host Ports: {inside} and {published}"
            )
    if protocol.lower() not in ("", "tcp", "udp", "sctp"):
        raise ValueError(f"Invalid proto: {protocol}")
    return [f"{port}/{protocol.lower() or 'tcp'}" for port in ports]


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


def _check_address(text: str) -> None:
    if not text:
        return
    from ipaddress import ip_address

    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ip_address(bare)
    except ValueError:
        raise ValueError(f"Invalid ip address: {bare}") from None
