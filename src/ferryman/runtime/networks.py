"""Networks: bridges that containers are connected by, as their users defined them.

One file each, ``networks/<name>.json``.  ``bridge``, ``host`` and ``none`` are always there; the
file of the first is made when it is first used.  A bridge exists on the host only while a container
is in the network.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import msgspec

from ferryman.errors import Conflict, FerryError, InvalidImage, StoreError
from ferryman.image import digest
from ferryman.image.decode import decode
from ferryman.rootfs import namespace
from ferryman.runtime import routes
from ferryman.runtime.settings import HostConfig, InvalidSettings, NetworkRequest
from ferryman.store import durable
from ferryman.store.layout import Store

DEFAULT = "bridge"
PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}
"""The networks that are always there, and their drivers."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_ID = re.compile(r"[a-f0-9]{1,64}")
_INTERFACE = "com.docker.network.bridge.name"
_MTU = "com.docker.network.driver.mtu"
_UNCHANGEABLE = {
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
}
"""Options that docker's users rely on, and the one value that holds here."""

_ROOTS = (
    "networks that users make need root: for an ordinary user there are bridge, host, none and "
    "container:NAME"
)

IPNetwork = IPv4Network | IPv6Network


class NetworkNotFound(FerryError):
    """No network here answers to the name or ID that was given."""


class Subnet(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """A range of addresses; `ip_range` is the part of it that containers get addresses from."""

    subnet: str
    ip_range: str = msgspec.field(name="IPRange", default="")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = {}
    """Addresses that are somebody else's, by a name for each."""


class Network(msgspec.Struct, frozen=True):
    """The record of a network."""

    name: str
    id: str
    created: str
    driver: str = "bridge"
    subnets: list[Subnet] = []
    internal: bool = False
    attachable: bool = False
    ipv4: bool = True
    ipv6: bool = False
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    asked: bool = False
    """Whether the user chose the subnets; others may be changed while nobody is there."""

    @property
    def interface(self) -> str:
        """The name of the bridge on the host, of at most 15 characters."""
        return self.options.get(_INTERFACE) or f"fy-{self.id[:12]}"

    @property
    def mtu(self) -> str:
        """The size of a packet, empty for the kernel's default."""
        return self.options.get(_MTU, "")

    @property
    def names(self) -> bool:
        """Tell whether containers know each other by name in it."""
        return self.driver == "bridge" and self.name != DEFAULT


def find(store: Store, text: str) -> Network:
    """Return the network with this name, ID or beginning of an ID.

    Raises NetworkNotFound, StoreError.
    """
    if text in PREDEFINED or _NAME.fullmatch(text):
        try:
            return _read(store, text)
        except FileNotFoundError:
            if text in PREDEFINED:
                return _predefined(store, text)
    if _ID.fullmatch(text):
        matching = [network for network in every(store) if network.id.startswith(text)]
        if len(matching) > 1:
            raise NetworkNotFound(
                f"network {text} is ambiguous ({len(matching)} matches found on ID prefix)"
            )
        if matching:
            return matching[0]
    raise NetworkNotFound(f"network {text} not found")


def every(store: Store) -> list[Network]:
    """Return all networks by name; raises StoreError."""
    try:
        files = os.listdir(store.networks)
    except FileNotFoundError:
        files = []
    names = {file.removesuffix(".json") for file in files if file.endswith(".json")}
    found: list[Network] = []
    for name in sorted(names | set(PREDEFINED)):
        try:
            found.append(_read(store, name))
        except FileNotFoundError:
            if name in PREDEFINED:
                found.append(_predefined(store, name))
    return found


def id_of(store: Store, name: str) -> str:
    """Return the ID of a network, empty when there is none of that name."""
    try:
        return find(store, name).id
    except NetworkNotFound:
        return ""


def _read(store: Store, name: str) -> Network:
    path = f"{store.networks}/{name}.json"
    with open(path, "rb") as f:
        content = f.read()
    try:
        return decode(content, Network, path)
    except InvalidImage as e:
        raise StoreError(f"the record of a network is damaged: {e}") from None


def _predefined(store: Store, name: str) -> Network:
    # The same for every command on this store, although it is not written down yet.
    number = digest.of(os.fsencode(f"{store.root}\0{name}")).encoded
    try:
        changed = os.stat(f"{store.meta}/version").st_mtime
    except FileNotFoundError:
        changed = 0.0
    made = datetime.fromtimestamp(changed, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return Network(name, number, made, PREDEFINED[name])


def write(store: Store, network: Network) -> None:
    """Keep a network; the caller holds the lock of networks.  Raises StoreError."""
    path = f"{store.networks}/{network.name}.json"
    try:
        os.makedirs(store.networks, mode=0o755, exist_ok=True)
        durable.replace(path, msgspec.json.encode(network), aside=f"{path}.new")
    except OSError as e:
        raise StoreError(f"cannot keep the network {network.name}: {e.strerror}") from None


def delete(store: Store, network: Network) -> None:
    """Forget a network; the caller holds the lock of networks."""
    durable.remove(f"{store.networks}/{network.name}.json")


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
    """Make a network; the caller holds the lock of networks.

    Raises InvalidSettings, Conflict, StoreError.
    """
    if namespace.ordinary():
        raise InvalidSettings(_ROOTS)
    if not _NAME.fullmatch(name):
        raise InvalidSettings(
            f"invalid network name {name}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    if name in PREDEFINED or name == "default":
        raise Conflict(f"operation is not permitted on predefined {name} network")
    if any(network.name == name for network in every(store)):
        raise Conflict(f"network with name {name} already exists")
    if driver in ("host", "null"):
        raise Conflict(f'only one instance of "{driver}" network is allowed')
    if driver != "bridge":
        raise InvalidSettings(f'plugin "{driver}" not found: networks here are of type bridge')
    network = Network(
        name=name,
        id=os.urandom(32).hex(),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        internal=internal,
        attachable=attachable,
        ipv4=ipv4,
        ipv6=ipv6 or any(_version(subnet) == 6 for subnet in subnets),
        options=dict(options or {}),
        labels=dict(labels or {}),
        asked=bool(subnets),
    )
    if not (network.ipv4 or network.ipv6):
        raise InvalidSettings("IPv4 or IPv6 must be enabled")
    versions = [_version(subnet) for subnet in subnets]
    if len(set(versions)) != len(versions):
        raise InvalidSettings("bridge driver doesn't support multiple subnets")
    _check_options(network)
    network = complete(store, msgspec.structs.replace(network, subnets=list(subnets)))
    write(store, network)
    return network


def _check_options(network: Network) -> None:
    name = network.options.get(_INTERFACE, "")
    if len(name) > 15 or "/" in name or any(c.isspace() for c in name):
        raise InvalidSettings(f"invalid interface name: {name}")
    if network.mtu and not network.mtu.isdecimal():
        raise InvalidSettings(f"failed to parse {_MTU} value: {network.mtu}")
    for option, only in _UNCHANGEABLE.items():
        if network.options.get(option, only) != only:
            raise InvalidSettings(f"the option {option} of networks can only be {only} here")


def complete(store: Store, network: Network) -> Network:
    """Return a network with every subnet and gateway it needs: chosen, or checked and filled in.

    Raises InvalidSettings, MissingProgram.
    """
    others = [
        ip_network(subnet.subnet)
        for other in every(store)
        if other.id != network.id
        for subnet in other.subnets
    ]
    subnets = [_filled(subnet, others) for subnet in network.subnets]
    versions = {_version(subnet) for subnet in subnets}
    for version, wanted in ((4, network.ipv4), (6, network.ipv6)):
        if wanted and version not in versions:
            taken = [*others, *routes.used()]
            subnets.append(_filled(Subnet(str(_free(version, taken, network))), others))
    return msgspec.structs.replace(network, subnets=subnets)


def _filled(subnet: Subnet, others: Sequence[IPNetwork]) -> Subnet:
    try:
        network = ip_network(subnet.subnet, strict=False)
    except ValueError:
        raise InvalidSettings(
            f"invalid subnet {subnet.subnet}: invalid CIDR block notation"
        ) from None
    if "/" not in subnet.subnet:
        raise InvalidSettings(f"invalid subnet {subnet.subnet}: invalid CIDR block notation")
    if str(network.network_address) != subnet.subnet.partition("/")[0].lower():
        raise InvalidSettings(f"invalid subnet {subnet.subnet}: it should be {network}")
    for other in others:
        if network.version == other.version and network.overlaps(other):
            raise InvalidSettings(
                "invalid pool request: Pool overlaps with other one on this address space"
            )
    if network.num_addresses < 4:
        raise InvalidSettings(f"invalid subnet {subnet.subnet}: too small for containers")
    gateway = subnet.gateway or str(network[1])
    return msgspec.structs.replace(subnet, gateway=gateway)


def _free(version: int, taken: Sequence[IPNetwork], network: Network) -> IPNetwork:
    for candidate in _pool(version, network):
        if not any(candidate.version == t.version and candidate.overlaps(t) for t in taken):
            return candidate
    raise InvalidSettings("all predefined address pools have been fully subnetted")


def _pool(version: int, network: Network) -> Iterator[IPNetwork]:
    """Yield the subnets that may be chosen, in docker's order."""
    if version == 6:
        # RFC 4193: the number of a site is random, so that no two sites have the same.
        site = (0xFD << 120) | (int(network.id[:10], 16) << 80)
        for number in range(256):
            yield IPv6Network((site | number << 64, 64))
        return
    # The first is the default network's, as people expect it, even if others are made before.
    for second in range(17 if network.name == DEFAULT else 18, 32):
        yield IPv4Network(f"172.{second}.0.0/16")
    for third in range(0, 256, 16):
        yield IPv4Network(f"192.168.{third}.0/20")


def range_of(subnet: Subnet) -> IPNetwork:
    """Return the range of a subnet."""
    return ip_network(subnet.subnet)


def _version(subnet: Subnet) -> int:
    return 6 if ":" in subnet.subnet else 4


def requested(
    store: Store, host: HostConfig, wanted: Mapping[str, NetworkRequest]
) -> dict[str, NetworkRequest]:
    """Return the networks that a new container is to be in, by name, the main one first.

    Raises NetworkNotFound, InvalidSettings.
    """
    mode = DEFAULT if host.network_mode == "default" else host.network_mode
    if mode in ("host", "none") or mode.startswith("container:"):
        return {}
    found: dict[str, NetworkRequest] = {}
    for text in (mode, *wanted):
        network = find(store, text)
        request = wanted.get(text, NetworkRequest())
        if network.name not in found or text in wanted:
            check_request(network, request)
            found[network.name] = request
    if namespace.ordinary() and list(found) != [DEFAULT]:
        raise InvalidSettings(_ROOTS)
    return found


def check_request(network: Network, request: NetworkRequest) -> None:
    """Raise InvalidSettings for what a container cannot have in a network."""
    if request.aliases and not network.names:
        raise InvalidSettings(
            "network-scoped alias is supported only for containers in user defined networks"
        )
    if not request.ip_address:
        return
    if network.name == DEFAULT:
        raise InvalidSettings(
            "user specified IP address is supported on user defined networks only"
        )
    try:
        address = ip_address(request.ip_address)
    except ValueError:
        raise InvalidSettings(f"invalid IPv4 address: {request.ip_address}") from None
    if not network.asked:
        raise InvalidSettings(
            "user specified IP address is supported only when connecting to networks with user "
            "configured subnets"
        )
    if not any(address in ip_network(subnet.subnet) for subnet in network.subnets):
        raise InvalidSettings(f"no configured subnet contains IP address {request.ip_address}")
