"""Flags about networks: ``-p``, ``--expose``, ``--network``, ``--add-host``, ``--dns``."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ferryman.build import ports
from ferryman.build.words import quoted
from ferryman.cli.flags.mounts import fields
from ferryman.errors import InvalidFlag
from ferryman.runtime.settings import NetworkRequest, PortBinding

HOST_GATEWAY = "host-gateway"

_OWN = frozenset(("default", "bridge", "host", "none"))
_CONTAINER = "container:"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"({_LABEL}(?:\.{_LABEL})*)\.?\s*")
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2}")
_LONG = re.compile(r"\w+=\w+")

Bindings = dict[str, list[PortBinding]]


def published(specs: Sequence[str]) -> Bindings:
    """Return where each port is to be found on the host; raises InvalidFlag in docker's words."""
    found: Bindings = {}
    for spec in map(_short_form, specs):
        try:
            for each in ports.published(spec):
                binding = PortBinding(host_ip=each.host_ip, host_port=each.host_port)
                found.setdefault(each.port, []).append(binding)
        except ValueError as e:
            # docker's client says the same as its builder in other letters.
            words = str(e).replace("Invalid ip address", "invalid IP address")
            raise InvalidFlag(words[:1].lower() + words[1:]) from None
    return found


def _short_form(text: str) -> str:
    """Return ``published=8080,target=80,protocol=udp`` as ``8080:80/udp``."""
    if "=" not in text:
        return text
    given = {"published": "", "target": "", "protocol": "tcp"}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise InvalidFlag(
                f"invalid publish opts format (should be name=value but got '{part}')"
            )
        given[name] = value
    return f"{given['published']}:{given['target']}/{given['protocol']}"


def exposed(specs: Sequence[str]) -> list[str]:
    """Return the ports of ``--expose``, each as ``80/tcp``; raises InvalidFlag."""
    found = []
    for spec in specs:
        if ":" in spec:
            raise InvalidFlag(f"invalid port format for --expose: {spec}")
        try:
            found += ports.exposed(spec)
        except ValueError as e:
            raise InvalidFlag(f"invalid range format for --expose: {spec}, error: {e}") from None
    return found


class Attachment(NamedTuple):
    """A ``--network``: its name or mode, and what is wanted there."""

    target: str
    request: NetworkRequest = NetworkRequest()


def network(text: str) -> Attachment:
    """Return ``NAME``, or ``name=NAME,alias=…,ip=…,mac-address=…``; raises ValueError."""
    if not _LONG.search(text):
        return Attachment(text)
    target, aliases, address, mac = "", list[str](), "", ""
    for field in fields(text):
        name, equals, value = field.lower().partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name:
            raise ValueError(f"invalid field {field}")
        if name == "name":
            target = value
        elif name == "alias":
            aliases.append(value)
        elif name == "ip":
            address = ip(value)
        elif name == "mac-address":
            mac = value
        elif name in ("ip6", "link-local-ip", "driver-opt", "gw-priority"):
            raise ValueError(f"{name} is not supported by ferry")
        else:
            raise ValueError(f"invalid field key {name}")
    if not target:
        raise ValueError("network name/id is not specified")
    request = NetworkRequest(aliases=aliases or None, ip_address=address, mac_address=mac)
    return Attachment(target, request)


def attached(
    given: Sequence[Attachment], aliases: Sequence[str], address: str, mac: str
) -> tuple[str, dict[str, NetworkRequest]]:
    """Return the network mode, and what is wanted in the networks that are more than a mode.

    `aliases`, `address` and `mac` are the flags of their own, which are about the first network.
    Raises InvalidFlag in docker's words.
    """
    first, *others = given or [Attachment("default")]
    wanted = first.request
    for other, own, flag, what in (
        (wanted.aliases, aliases, "network-alias", "alias"),
        (wanted.ip_address, address, "ip", "IPv4 address"),
        (wanted.mac_address, mac, "mac-address", "MAC address"),
    ):
        if other and own:
            raise InvalidFlag(
                f"conflicting options: cannot specify both --{flag} and per-network {what}"
            )
    wanted = NetworkRequest(
        aliases=list(aliases) or wanted.aliases,
        ip_address=address or wanted.ip_address,
        mac_address=mac or wanted.mac_address,
    )
    found: dict[str, NetworkRequest] = {}
    for target, request in (Attachment(first.target, wanted), *others):
        _check(target, request)
        if target in found:
            raise InvalidFlag(f"network {quoted(target)} is specified multiple times")
        found[target] = request
    users = [is_users(target) for target in found]
    if any(users) and not all(users):
        raise InvalidFlag(
            "conflicting options: cannot attach both user-defined and non-user-defined "
            "network-modes"
        )
    nothing = NetworkRequest()
    return first.target, {
        "bridge" if target == "default" else target: request
        for target, request in found.items()
        if is_users(target) or request != nothing
    }


def is_users(mode: str) -> bool:
    """Tell whether a network mode is the name of a network that somebody has made."""
    return mode not in _OWN and not mode.startswith(_CONTAINER)


def _check(target: str, request: NetworkRequest) -> None:
    if not target.strip():
        raise InvalidFlag("no name set for network")
    if request.aliases and not is_users(target):
        raise InvalidFlag("network-scoped aliases are only supported for user-defined networks")
    if request.mac_address and not _MAC.fullmatch(request.mac_address.strip()):
        raise InvalidFlag(f"{request.mac_address} is not a valid mac address")


def ip(text: str) -> str:
    """Return an address; raises ValueError in docker's words."""
    address = _address(text)
    if text and not address:
        raise ValueError(f"failed to parse IP: {quoted(text)}")
    return address


def dns(text: str) -> str:
    """Return the address of a name server; raises ValueError in docker's words."""
    if address := _address(text):
        return address
    raise ValueError(f"IP address is not correctly formatted: {text}")


def dns_search(text: str) -> str:
    """Return a domain, or ``.`` for none; raises ValueError in docker's words."""
    text = text.strip(" ")
    if text == ".":
        return text
    domain = _DOMAIN.fullmatch(text)
    if domain is None or len(domain[1]) >= 255 or not re.search("[a-zA-Z]", text):
        raise ValueError(f"{text} is not a valid domain")
    return domain[1]


def extra_host(text: str) -> str:
    """Return ``NAME:ADDRESS`` of either ``NAME:ADDRESS`` or ``NAME=ADDRESS``.

    The address may stand in brackets, or be ``host-gateway``.  Raises ValueError in docker's words.
    """
    name, found, address = text.partition("=")
    if not found:
        name, found, address = text.partition(":")
    if not found or not name or ":" in name:
        raise ValueError(f"bad format for add-host: {quoted(text)}")
    if address == HOST_GATEWAY:
        return f"{name}:{address}"
    if len(address) > 2 and address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if not _address(address):
        raise ValueError(f"invalid IP address in add-host: {quoted(address)}")
    return f"{name}:{address}"


def _address(text: str) -> str:
    """Return an address in its usual form; empty when it is none."""
    from ipaddress import ip_address

    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return ""
