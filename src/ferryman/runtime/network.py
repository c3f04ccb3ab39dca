"""A container's way into its networks, and out again.

What a container has in a network is in its state before it is made, and is there until all of it
has been taken back: so addresses in use are those in the states of containers, and whoever dies in
between leaves a state that says what there is to be done.

The kernel takes interfaces back with the container's network namespace.  What it leaves are
firewall rules for published ports, names in the name server and, after the last container of a
network, the bridge with the network's own rules: netavark removes these.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress

import msgspec

from ferryman.rootfs.namespace import ordinary
from ferryman.runtime import (
    addresses,
    firewall,
    netavark,
    netns,
    networks,
    pasta,
    ports,
    programs,
    record,
    routes,
)
from ferryman.runtime.changing import changing
from ferryman.runtime.netavark import NetworkFailed
from ferryman.runtime.networks import Network
from ferryman.runtime.ports import Held
from ferryman.runtime.record import Container, Endpoint, State
from ferryman.runtime.settings import InvalidSettings, NetworkRequest, PortBinding
from ferryman.store.layout import Store

Ports = dict[str, list[PortBinding]]

_PATIENCE = 5.0  # seconds
_RUNNING = "an ordinary user's container changes its networks only while it does not run"
_LINKS = "/sys/class/net"
_PURPOSE = "to connect containers to networks"


@contextmanager
def held(store: Store, container: Container) -> Iterator[Held]:
    """Give the ports of a container that is about to start, taken; the monitor is to keep them.

    Raises PortTaken, InvalidSettings, NetworkNotFound.
    """
    found = [networks.find(store, name) for name in container.networks]
    if all(network.internal for network in found):
        yield Held({}, [])  # nobody from outside comes into these
        return
    taken = ports.hold(container, ipv6=any(network.ipv6 for network in found))
    if ordinary():
        taken.close()  # pasta is to have them, and can only take them by itself
        yield taken._replace(sockets=[])
        return
    try:
        yield taken
    finally:
        taken.close()


@contextmanager
def namespace(container: Container) -> Iterator[str | None]:
    """Give the path of the network namespace that a container is to be created in.

    None when the runtime has to find or make it: where there is nothing to be connected.  It lasts
    as long as somebody is in it, or else the block.  Raises OSError.
    """
    if not container.networks:
        yield None
        return
    with netns.new() as path:
        yield path


def connect(
    store: Store, container: Container, namespace: str | None, held: Held
) -> tuple[dict[str, Endpoint], Ports]:
    """Connect the namespace of a container that does not run yet to all its networks.

    Returns its places in them and its published ports, which its state has by then too, but for
    the interfaces' addresses.  The caller holds the container's lock.  Raises NetworkNotFound,
    InvalidSettings, NetworkFailed, MissingProgram; what was done by then is for `disconnect`.
    """
    if namespace is None:
        return {}, {}
    if ordinary():
        return _carried(store, container, namespace, held.ports)
    with changing():
        found = [ready(store, networks.find(store, name)) for name in container.networks]
        places = {
            network.name: _place(store, container, network, request, f"eth{number}")
            for number, (network, request) in enumerate(
                zip(found, container.networks.values(), strict=True)
            )
        }
        _keep(store, container, places, held.ports)
        main = _main(found)
        for network in found:
            place = places[network.name]
            published = held.ports if network is main else {}
            mac = netavark.setup(
                container, network, place, published, namespace, main=network is main
            )
            places[network.name] = msgspec.structs.replace(place, mac_address=mac)
    return places, held.ports


def join(store: Store, container: Container, state: State, name: str) -> State:
    """Connect a container that runs to one network more, and return its state, which is kept.

    The container's record has the network already.  The caller holds the container's lock.  Raises
    NetworkNotFound, InvalidSettings, NetworkFailed, MissingProgram; it is then where it was.
    """
    if ordinary():
        raise InvalidSettings(_RUNNING)
    assert state.init is not None
    namespace = f"/proc/{state.init.pid}/ns/net"
    with changing():
        found = ready(store, networks.find(store, name))
        others = [networks.find(store, other) for other in state.endpoints]
        taken = {place.interface for place in state.endpoints.values()}
        interface = next(f"eth{n}" for n in range(len(taken) + 1) if f"eth{n}" not in taken)
        place = _place(store, container, found, container.networks[name], interface)
        _keep(store, container, {**state.endpoints, name: place}, state.ports)
        main = _main([*others, found]) is found
        try:
            mac = netavark.setup(container, found, place, {}, namespace, main=main)
        except BaseException:
            _part(store, container, found, place, {}, namespace)
            _keep(store, container, state.endpoints, state.ports)
            raise
        place = msgspec.structs.replace(place, mac_address=mac)
        return _keep(store, container, {**state.endpoints, name: place}, state.ports)


def part(store: Store, container: Container, state: State, name: str) -> State:
    """Disconnect a container that runs from one of its networks, and return its state, now kept.

    Its published ports move on to the next network that leads to the world.  The caller holds the
    container's lock.  Raises InvalidSettings, NetworkFailed, MissingProgram.
    """
    if ordinary():
        raise InvalidSettings(_RUNNING)
    assert state.init is not None
    namespace = f"/proc/{state.init.pid}/ns/net"
    rest = {other: place for other, place in state.endpoints.items() if other != name}
    with changing():
        for found, place, published in _parts(store, state):
            if found.name == name:
                _part(store, container, found, place, published, namespace)
                if published:
                    return _moved(store, container, state, rest, namespace)
        return _keep(store, container, rest, state.ports)


def _part(
    store: Store,
    container: Container,
    network: Network,
    place: Endpoint,
    published: Ports,
    namespace: str,
) -> None:
    with suppress(FileNotFoundError), netns.inside(namespace):
        _ip("link", "delete", place.interface)
    _leave(store, container, network, place, published)


def _moved(
    store: Store,
    container: Container,
    state: State,
    rest: Mapping[str, Endpoint],
    namespace: str,
) -> State:
    """Publish the ports of a container in the first network that leads to the world, if any."""
    for found, place, published in _parts(store, msgspec.structs.replace(state, endpoints=rest)):
        if published:
            _keep(store, container, rest, published)
            # netavark publishes ports with an interface, not afterwards.
            _part(store, container, found, place, {}, namespace)
            netavark.setup(container, found, place, published, namespace, main=True)
            return _keep(store, container, rest, published)
    return _keep(store, container, rest, {})


def disconnect(store: Store, container: Container, state: State) -> None:
    """Take back what a container that has ended had in its networks.

    Its network namespace need not be there any more.  The caller holds the container's lock.  The
    state is without endpoints then.  Doing it twice is harmless.
    """
    if not state.endpoints or _before(state):
        return
    if ordinary():
        pasta.stop(record.folder(store, container.id))
        return
    with changing():
        for network, place, published in _parts(store, state):
            _leave(store, container, network, place, published)
        # Before anybody else leaves: the last one has to know that it is.
        _keep(store, container, {}, {})


def _carried(
    store: Store, container: Container, namespace: str, published: Ports
) -> tuple[dict[str, Endpoint], Ports]:
    """Connect a container of an ordinary user, which can be in the default network only."""
    (name,) = container.networks
    place = msgspec.structs.replace(pasta.ENDPOINT, network_id=networks.find(store, name).id)
    _keep(store, container, {name: place}, published)
    pasta.start(record.folder(store, container.id), namespace, published)
    return {name: place}, published


def rename(store: Store, container: Container, old: str) -> None:
    """Have the networks of a container that runs know it by its new name; raises StoreError."""
    state = record.read_state(store, container.id)
    known = [network for network, _, _ in _parts(store, state) if network.names]
    if state.up and known:
        with changing():
            for network in known:
                netavark.rename(network, container.id, old, container.name)


def clear(store: Store) -> None:
    """Take back what containers that are in no network any more have left in those of a store.

    There is nothing, unless the state of a container has been lost.  Raises StoreError.
    """
    found = [each for each in networks.every(store) if os.path.isdir(f"{_LINKS}/{each.interface}")]
    if not found:
        return
    with changing():
        for network in found:
            there = addresses.endpoints(store, network)
            for container_id in firewall.published(network) - there.keys():
                firewall.take_back(network, container_id, Endpoint(), alone=False)
            if not there:
                _rules_gone(network, "", Endpoint(), alone=True)


def _keep(
    store: Store, container: Container, places: Mapping[str, Endpoint], published: Ports
) -> State:
    state = record.read_state(store, container.id)
    state = msgspec.structs.replace(state, endpoints=dict(places), ports=published)
    record.write_state(store, container.id, state)
    return state


def _main(found: Sequence[Network]) -> Network | None:
    """Return the network by which the world is reached: the first that leads there."""
    return next((network for network in found if not network.internal), None)


def ready(store: Store, network: Network) -> Network:
    """Return a network with subnets that nobody else on this machine has.

    The caller holds the lock of networks.  Raises InvalidSettings, MissingProgram, StoreError.
    """
    if network.driver != "bridge":
        return network
    if os.path.exists(f"{_LINKS}/{network.interface}"):
        return network
    if not network.subnets or (not network.asked and _collides(network)):
        network = networks.complete(store, msgspec.structs.replace(network, subnets=[]))
        networks.write(store, network)
    return network


def _collides(network: Network) -> bool:
    used = routes.used()
    return any(
        ours.version == theirs.version and ours.overlaps(theirs)
        for ours in map(networks.range_of, network.subnets)
        for theirs in used
    )


def _place(
    store: Store, container: Container, network: Network, request: NetworkRequest, interface: str
) -> Endpoint:
    networks.check_request(network, request)
    others = addresses.endpoints(store, network)
    others.pop(container.id, None)
    place = Endpoint(
        network_id=network.id,
        mac_address=request.mac_address,
        aliases=[*(request.aliases or []), container.short] if network.names else None,
        interface=interface,
    )
    chosen = addresses.chosen(network, list(others.values()), request.ip_address)
    for subnet, address in zip(network.subnets, chosen, strict=True):
        length = networks.range_of(subnet).prefixlen
        if ":" in address:
            place = msgspec.structs.replace(
                place,
                global_ipv6_address=address,
                global_ipv6_prefix_len=length,
                ipv6_gateway=subnet.gateway,
            )
        else:
            place = msgspec.structs.replace(
                place, ip_address=address, ip_prefix_len=length, gateway=subnet.gateway
            )
    return place


def _before(state: State) -> bool:
    """Tell whether a state is from before this start of the machine: nothing of it is left."""
    process = state.init or state.starter or state.monitor
    return process is not None and process.boot != record.boot()


def _parts(store: Store, state: State) -> Iterator[tuple[Network, Endpoint, Ports]]:
    found: list[tuple[Network, Endpoint]] = []
    for name, place in state.endpoints.items():
        try:
            found.append((networks.find(store, name), place))
        except networks.NetworkNotFound:
            continue
    main = _main([network for network, _ in found])
    for network, place in found:
        yield network, place, state.ports if network is main else {}


def _leave(
    store: Store, container: Container, network: Network, place: Endpoint, published: Ports
) -> None:
    others = addresses.endpoints(store, network)
    others.pop(container.id, None)
    if others and not published and not network.names:
        return  # all that it had went with its namespace
    # Where others knew the container by a name, netavark has to tell the name server.
    known = bool(others) and network.names
    if not known and _rules_gone(network, container.id, place, alone=not others):
        return
    with _stand_in(place.interface) as namespace:
        if not others:
            _alone(network)
        with suppress(NetworkFailed):  # it goes on after most faults, and there is nobody to tell
            netavark.teardown(container, network, place, published, namespace)


def _rules_gone(network: Network, container_id: str, place: Endpoint, *, alone: bool) -> bool:
    """Take out a container's rules, with `alone` all that is of its network; tell whether it did.

    netavark would take away with the last container of one network what keeps others apart.
    """
    with _bridge_removed(network) if alone else nullcontext():
        if not firewall.take_back(network, container_id, place, alone=alone):
            return False
    if alone and network.names:
        netavark.forget_names(network)
    return True


@contextmanager
def _stand_in(interface: str) -> Iterator[str]:
    """Give the path of a network namespace with an interface of this name.

    netavark wants to delete the container's, and to do the rest only then.
    """
    with netns.new(
        lambda: _ip("link", "add", interface, "type", "veth", "peer", "name", "other")
    ) as path:
        yield path


@contextmanager
def _bridge_removed(network: Network) -> Iterator[None]:
    """Have the bridge of a network removed while the block runs: the kernel takes its time."""
    bridge = network.interface
    if not os.path.isdir(f"{_LINKS}/{bridge}"):
        yield
        return
    ip = programs.needed("ip", "iproute2", _PURPOSE)
    # What is still connected is of namespaces that have gone, and about to go too.
    with subprocess.Popen(
        [ip, "link", "delete", bridge],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        yield


def _alone(network: Network) -> None:
    """Make the bridge of a network that its last container leaves one that netavark removes.

    The kernel takes its time to remove the interfaces of a namespace that has gone; a bridge that
    has one, or is not there, would make netavark leave the network's rules.
    """
    bridge = f"{_LINKS}/{network.interface}"
    if not os.path.isdir(bridge):
        _ip("link", "add", network.interface, "type", "bridge")
    deadline = time.monotonic() + _PATIENCE
    while (left := os.listdir(f"{bridge}/brif")) and time.monotonic() < deadline:
        for interface in left:
            _ip("link", "delete", interface)
        time.sleep(0.005)


def _ip(*words: str) -> None:
    ip = programs.needed("ip", "iproute2", _PURPOSE)
    subprocess.run(
        [ip, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
