"""netavark: what makes bridges, interfaces and firewall rules, called with its JSON.

Its networks have the names of their bridges: the firewall's chains are named after them, and two
stores may each have a network of one name.
"""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ferryman.errors import FerryError
from ferryman.runtime import programs, record
from ferryman.runtime.changing import FOLDER, change
from ferryman.runtime.networks import Network
from ferryman.runtime.record import Container, Endpoint
from ferryman.runtime.settings import PortBinding
from ferryman.store import durable

_NAMES = f"{FOLDER}/aardvark-dns"
_SERVER = f"{_NAMES}/aardvark.pid"
_PATIENCE = 5.0  # seconds
_ANY_PORT = {"1/tcp": [PortBinding(host_port="1")]}


class NetworkFailed(FerryError):
    """A container could not be connected, or disconnected; what netavark has to say of it."""

    exit_code = 125


def setup(
    container: Container,
    network: Network,
    endpoint: Endpoint,
    ports: Mapping[str, Sequence[PortBinding]],
    namespace: str,
    *,
    main: bool,
) -> str:
    """Connect a network namespace, by its path, to a network; return the interface's address.

    `main` is for the network that the default route goes through.  Raises NetworkFailed,
    MissingProgram.
    """
    request = _request(container, network, endpoint, ports, main=main)
    answer = json.loads(_call("setup", namespace, request, network))
    interfaces = answer[network.interface]["interfaces"]
    return str(interfaces[endpoint.interface]["mac_address"])


def teardown(
    container: Container,
    network: Network,
    endpoint: Endpoint,
    ports: Mapping[str, Sequence[PortBinding]],
    namespace: str,
) -> None:
    """Take back what `setup` did.

    The namespace must have the interface, or netavark does nothing.  With the last interface of a
    bridge the bridge and the network's rules go too.  Raises NetworkFailed, MissingProgram.
    """
    # Without a port it would leave the network's chain for ports, which others may have needed.
    request = _request(container, network, endpoint, ports or _ANY_PORT, main=True)
    _call("teardown", namespace, request, network)


def rename(network: Network, container_id: str, old: str, new: str) -> None:
    """Have the name server of a network know a container by another name."""
    path = f"{_NAMES}/{network.interface}"
    try:
        with open(path, encoding="ascii") as f:
            lines = f.read().splitlines()
        # ID, addresses, the names with commas between.
        for i, line in enumerate(lines):
            if line.startswith(f"{container_id} "):
                rest, _, names = line.rpartition(" ")
                known = [new if name == old else name for name in names.split(",")]
                lines[i] = f"{rest} {','.join(known)}"
        # Not beside it: all that lies there is a network.
        durable.replace(path, "\n".join([*lines, ""]).encode(), aside=f"{FOLDER}/names.new")
        server = _server()
    except (OSError, ValueError):
        return  # nobody is in it, or the server has died
    if server:
        os.kill(server.pid, signal.SIGHUP)  # it looks at what there is anew


def forget_names(network: Network) -> None:
    """Have the name server forget a network in which nobody is; with the last one it ends."""
    _forget_dead_server()
    with suppress(OSError, ValueError):
        os.unlink(f"{_NAMES}/{network.interface}")
        server = _server()
        if server is None:
            return
        if any(name != os.path.basename(_SERVER) for name in os.listdir(_NAMES)):
            os.kill(server.pid, signal.SIGHUP)  # it looks at what there is anew
        else:
            os.kill(server.pid, signal.SIGTERM)
            record.exited(server, timeout=_PATIENCE)
            os.unlink(_SERVER)


def _request(
    container: Container,
    network: Network,
    endpoint: Endpoint,
    ports: Mapping[str, Sequence[PortBinding]],
    *,
    main: bool,
) -> dict[str, Any]:
    addresses = [endpoint.ip_address, endpoint.global_ipv6_address]
    options = {"isolate": "true", "metric": "100" if main else "200"}
    if network.mtu:
        options["mtu"] = network.mtu
    place: dict[str, Any] = {
        "interface_name": endpoint.interface,
        "static_ips": [address for address in addresses if address],
        "aliases": endpoint.aliases or [],
    }
    if endpoint.mac_address:
        place["static_mac"] = endpoint.mac_address
    request: dict[str, Any] = {
        "container_id": container.id,
        "container_name": container.name,
        "container_hostname": container.config.hostname,
        "port_mappings": [
            _mapping(key, binding) for key, bindings in ports.items() for binding in bindings
        ]
        or None,
        "networks": {network.interface: place},
        "network_info": {
            network.interface: {
                "name": network.interface,
                "id": network.id,
                "driver": "bridge",
                "network_interface": network.interface,
                "subnets": [
                    {"subnet": subnet.subnet, "gateway": subnet.gateway}
                    for subnet in network.subnets
                ],
                "ipv6_enabled": network.ipv6,
                "internal": network.internal,
                "dns_enabled": network.names,
                "ipam_options": {"driver": "host-local"},
                "options": options,
            }
        },
    }
    if servers := container.host_config.dns:
        request["dns_servers"] = servers
    return request


def _mapping(key: str, binding: PortBinding) -> dict[str, Any]:
    port, _, protocol = key.partition("/")
    return {
        "container_port": int(port),
        "host_port": int(binding.host_port),
        # For netavark no address is every address.
        "host_ip": "" if binding.host_ip in ("0.0.0.0", "::") else binding.host_ip,
        "protocol": protocol,
        "range": 1,
    }


def _call(verb: str, namespace: str, request: Mapping[str, Any], network: Network) -> str:
    netavark = programs.needed("netavark", "netavark", "to connect containers to networks")
    command = [netavark, "--config", FOLDER]
    if network.names:
        aardvark = programs.needed(
            "aardvark-dns", "aardvark-dns", "for names in networks that users have made"
        )
        command += ["--aardvark-binary", aardvark]
        _forget_dead_server()
    # It calls iptables or nft, which an ordinary user's path has not got.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    done = change([*command, verb, namespace], json.dumps(request), {**os.environ, "PATH": path})
    if done.returncode:
        raise NetworkFailed(_said(verb, done.stdout, done.stderr))
    return done.stdout


def _said(verb: str, out: str, err: str) -> str:
    text = out.strip() or err.strip()
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"])
    return f"netavark {verb}: {' '.join(text.split())}"


def _server() -> record.Process | None:
    """Return the name server, if it runs; raises OSError, ValueError where none was started."""
    with open(_SERVER, encoding="ascii") as f:
        return record.process(int(f.read()))


def _forget_dead_server() -> None:
    """Remove the number of a name server that has died, lest another process be signalled."""
    with suppress(OSError, ValueError):
        with open(_SERVER, encoding="ascii") as f:
            pid = int(f.read())
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                if f.read().startswith("aardvark-dns"):
                    return
        except FileNotFoundError:
            pass
        os.unlink(_SERVER)
