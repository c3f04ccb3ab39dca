"""Inspect: what is known of a container, in the shape of ``docker container inspect``."""

from typing import Any

import msgspec

from ferryman.runtime import addresses, networks, record
from ferryman.runtime.finish import settled
from ferryman.runtime.log_options import NONE
from ferryman.runtime.record import Container, MountPoint, State
from ferryman.store.layout import Store

_NEVER = "0001-01-01T00:00:00Z"


def inspect(store: Store, text: str, *, size: bool = False) -> dict[str, Any]:
    """Return a container's description as JSON values.

    With `size` it says how many bytes it has written, and how many its files are in all.  Raises
    ContainerNotFound, StoreError.
    """
    container = record.find(store, text)
    state = settled(store, container)
    folder = record.folder(store, container.id)
    command = container.command
    described = {
        "Id": container.id,
        "Created": container.created,
        "Path": command[0] if command else "",
        "Args": command[1:],
        "State": _state(state),
        "Image": container.image_id,
        "ResolvConfPath": f"{folder}/bundle/resolv.conf",
        "HostnamePath": f"{folder}/bundle/hostname",
        "HostsPath": f"{folder}/bundle/hosts",
        "LogPath": f"{folder}/log" if container.host_config.log_config.type != NONE else "",
        "Name": f"/{container.name}",
        "RestartCount": state.restart_count,
        "Driver": "overlay",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": msgspec.to_builtins(container.host_config),
        "GraphDriver": {
            "Data": {
                "MergedDir": f"{folder}/merged",
                "UpperDir": f"{folder}/upper",
                "WorkDir": f"{folder}/work",
            },
            "Name": state.storage or "overlay",
        },
        "Mounts": [_mount(mount) for mount in container.mounts],
        "Config": msgspec.to_builtins(container.config),
        "NetworkSettings": _network_settings(store, container, state),
    }
    if size:
        from ferryman.operations.container_size import container_size

        written, whole = container_size(store, container)
        described |= {"SizeRw": written, "SizeRootFs": whole}
    return described


def _state(state: State) -> dict[str, Any]:
    described: dict[str, Any] = {
        "Status": state.status,
        "Running": state.up or state.status == "restarting",
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": state.status == "dead",
        "Pid": state.init.pid if state.up and state.init else 0,
        "ExitCode": 0 if state.up else state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at or _NEVER,
        "FinishedAt": state.finished_at or _NEVER,
    }
    if state.health:
        described["Health"] = msgspec.to_builtins(state.health)
    return described


def _mount(mount: MountPoint) -> dict[str, Any]:
    described: dict[str, Any] = {"Type": mount.type}
    if mount.name:
        described["Name"] = mount.name
    described |= {"Source": mount.source, "Destination": mount.destination}
    if mount.driver:
        described["Driver"] = mount.driver
    return described | {"Mode": mount.mode, "RW": mount.rw, "Propagation": mount.propagation}


def _network_settings(store: Store, container: Container, state: State) -> dict[str, Any]:
    endpoints: dict[str, Any] = {}
    for name in container.in_networks:
        endpoints[name] = _endpoint(store, container, state, name)
    for name in state.endpoints:
        endpoints.setdefault(name, _endpoint(store, container, state, name))
    ports: dict[str, Any] = {}
    if state.up:
        ports = dict.fromkeys(container.config.exposed_ports or {})
        ports |= msgspec.to_builtins(state.ports)
    first = endpoints.get("bridge", {})
    return {
        "SandboxID": container.id if state.up else "",
        "SandboxKey": f"/proc/{state.init.pid}/ns/net" if state.up and state.init else "",
        "Ports": ports,
        "Gateway": first.get("Gateway", ""),
        "IPAddress": first.get("IPAddress", ""),
        "IPPrefixLen": first.get("IPPrefixLen", 0),
        "MacAddress": first.get("MacAddress", ""),
        "Networks": endpoints,
    }


def _endpoint(store: Store, container: Container, state: State, name: str) -> dict[str, Any]:
    endpoint = state.endpoints.get(name, record.Endpoint())
    number = endpoint.network_id or networks.id_of(store, name)
    request = container.networks.get(name)
    return {
        "IPAMConfig": {"IPv4Address": request.ip_address}
        if request and request.ip_address
        else None,
        "Links": None,
        "Aliases": endpoint.aliases,
        "MacAddress": endpoint.mac_address,
        "DriverOpts": None,
        "NetworkID": number,
        "EndpointID": addresses.endpoint_id(container.id, number) if state.up and number else "",
        "Gateway": endpoint.gateway,
        "IPAddress": endpoint.ip_address,
        "IPPrefixLen": endpoint.ip_prefix_len,
        "IPv6Gateway": endpoint.ipv6_gateway,
        "GlobalIPv6Address": endpoint.global_ipv6_address,
        "GlobalIPv6PrefixLen": endpoint.global_ipv6_prefix_len,
    }
