"""Create a network of the user's own."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

import msgspec

from ferryman.runtime import networks
from ferryman.runtime.changing import changing
from ferryman.runtime.networks import IPNetwork, Network, Subnet
from ferryman.runtime.settings import InvalidSettings
from ferryman.store.layout import Store


def create(
    store: Store,
    name: str,
    *,
    driver: str = "bridge",
    subnets: Sequence[Subnet] = (),
    internal: bool = False,
    attachable: bool = False,
    ipv4: bool = True,
    ipv6: bool = False,
    options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Network:
    """Make a network; subnets that are not given are chosen.

    Raises InvalidSettings, Conflict, StoreError.
    """
    with changing():
        return networks.create(
            store,
            name,
            driver=driver,
            subnets=subnets,
            internal=internal,
            attachable=attachable,
            ipv4=ipv4,
            ipv6=ipv6,
            options=options,
            labels=labels,
        )


def composed(
    subnets: Sequence[str],
    ranges: Sequence[str] = (),
    gateways: Sequence[str] = (),
    others: Mapping[str, str] | None = None,
) -> list[Subnet]:
    """Return the subnets, each with the range, the gateway and the addresses of others in it.

    Raises InvalidSettings.
    """
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise InvalidSettings("every ip-range or gateway must have a corresponding subnet")
    found: dict[str, Subnet] = {}
    for text in subnets:
        if any(_parsed(text).overlaps(_parsed(other)) for other in found if _same(text, other)):
            raise InvalidSettings("multiple overlapping subnet configuration is not supported")
        found[text] = Subnet(text)
    for text in ranges:
        inner = _parsed(text)
        at = _around(found, str(inner.network_address), f"range {text}")
        if found[at].ip_range:
            raise InvalidSettings(
                f"cannot configure multiple ranges ({text}, {found[at].ip_range}) on the same "
                f"subnet ({at})"
            )
        found[at] = msgspec.structs.replace(found[at], ip_range=str(inner))
    for text in gateways:
        at = _around(found, text, f"gateway {text}")
        if found[at].gateway:
            raise InvalidSettings(
                f"cannot configure multiple gateways ({text}, {found[at].gateway}) for the same "
                f"subnet ({at})"
            )
        found[at] = msgspec.structs.replace(found[at], gateway=text)
    for name, text in (others or {}).items():
        at = _around(found, text, f"aux-address {text}")
        more = found[at].auxiliary_addresses | {name: text}
        found[at] = msgspec.structs.replace(found[at], auxiliary_addresses=more)
    return list(found.values())


def _parsed(text: str) -> IPNetwork:
    try:
        if "/" not in text:
            raise ValueError
        return ip_network(text, strict=False)
    except ValueError:
        raise InvalidSettings(f"invalid CIDR address: {text}") from None


def _same(one: str, other: str) -> bool:
    """Tell whether two addresses are of the same version."""
    return (":" in one) == (":" in other)


def _around(subnets: Mapping[str, Subnet], address: str, what: str) -> str:
    """Return the subnet that an address is in."""
    for text in subnets:
        try:
            if ip_address(address) in _parsed(text):
                return text
        except ValueError:
            break
    raise InvalidSettings(f"no matching subnet for {what}")
