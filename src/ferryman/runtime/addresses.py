"""Which addresses are free: those that no container's state has.

There is no other record of them, so that none can leak.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ferryman.runtime import record
from ferryman.runtime.networks import Network, Subnet
from ferryman.runtime.record import ContainerNotFound, Endpoint, State
from ferryman.runtime.settings import InvalidSettings
from ferryman.store.layout import Store

IPAddress = IPv4Address | IPv6Address


def states(store: Store) -> Iterator[tuple[str, State]]:
    """Yield the states of all containers that are in a network, with their IDs."""
    try:
        ids = os.listdir(store.containers)
    except FileNotFoundError:
        return
    for container_id in ids:
        try:
            state = record.read_state(store, container_id)
        except ContainerNotFound:
            continue
        if state.endpoints:
            yield container_id, state


def endpoints(store: Store, network: Network) -> dict[str, Endpoint]:
    """Return the places of containers in a network, by their IDs."""
    return {
        container_id: endpoint
        for container_id, state in states(store)
        for endpoint in state.endpoints.values()
        if endpoint.network_id == network.id
    }


def endpoint_id(container_id: str, network_id: str) -> str:
    """Return what a container's place in a network is called: the same each time, and its alone."""
    return hashlib.sha256(f"{container_id} {network_id}".encode()).hexdigest()


def chosen(network: Network, taken: Sequence[Endpoint], wanted: str = "") -> list[str]:
    """Return an address of each subnet: the one that is wanted, else the lowest free one.

    Raises InvalidSettings.
    """
    used = {
        ip_address(text)
        for endpoint in taken
        for text in (endpoint.ip_address, endpoint.global_ipv6_address)
        if text
    }
    return [_free(network, subnet, used, wanted) for subnet in network.subnets]


def _free(network: Network, subnet: Subnet, used: set[IPAddress], wanted: str) -> str:
    whole = ip_network(subnet.subnet)
    others = {subnet.gateway, *subnet.auxiliary_addresses.values()}
    used = used | {ip_address(text) for text in others if text}
    if wanted and ip_address(wanted) in whole:
        if ip_address(wanted) in used:
            raise InvalidSettings("Address already in use")
        return wanted
    part = ip_network(subnet.ip_range) if subnet.ip_range else whole
    for number in range(part.num_addresses):
        address = part[number]
        if address in (whole.network_address, whole.broadcast_address) or address in used:
            continue
        return str(address)
    raise InvalidSettings(
        f"no available IPv{whole.version} addresses on this network's address pools: "
        f"{network.name} ({network.id})"
    )
