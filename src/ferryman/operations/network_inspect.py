"""Inspect: what is known of a network, in docker's form."""

import os
from typing import Any

import msgspec

from ferryman.runtime import addresses, network, networks, record
from ferryman.runtime.changing import changing
from ferryman.runtime.finish import settled
from ferryman.runtime.networks import Network
from ferryman.runtime.record import ContainerNotFound, Endpoint
from ferryman.store.layout import Store


def inspect(store: Store, text: str) -> dict[str, Any]:
    """Return a network's description as JSON values; raises NetworkNotFound, StoreError."""
    found = networks.find(store, text)
    if found.driver == "bridge" and not found.subnets and os.access(store.root, os.W_OK):
        # The default network gets its subnet when it is first needed: by whoever asks for it, too.
        with changing():
            found = network.ready(store, found)
    return {
        "Name": found.name,
        "Id": found.id,
        "Created": found.created,
        "Scope": "local",
        "Driver": found.driver,
        "EnableIPv4": found.driver == "bridge" and found.ipv4,
        "EnableIPv6": found.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": {} if found.name not in networks.PREDEFINED else None,
            "Config": [msgspec.to_builtins(subnet) for subnet in found.subnets],
        },
        "Internal": found.internal,
        "Attachable": found.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": _containers(store, found),
        "Options": found.options,
        "Labels": found.labels,
    }


def _containers(store: Store, found: Network) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for container in sorted(record.every(store), key=lambda each: each.id):
        if found.name not in container.in_networks:
            continue
        try:
            state = settled(store, container)
        except ContainerNotFound:
            continue
        place = state.endpoints.get(found.name, Endpoint())
        if state.up:
            described[container.id] = {
                "Name": container.name,
                "EndpointID": addresses.endpoint_id(container.id, found.id),
                "MacAddress": place.mac_address,
                "IPv4Address": _with_length(place.ip_address, place.ip_prefix_len),
                "IPv6Address": _with_length(
                    place.global_ipv6_address, place.global_ipv6_prefix_len
                ),
            }
    return described


def _with_length(address: str, length: int) -> str:
    return f"{address}/{length}" if address else ""
