"""Which networks are here: filtered as ``docker network ls`` does it."""

from collections.abc import Callable, Sequence

from ferryman.errors import UsageError
from ferryman.operations.filters import labelled, parsed
from ferryman.runtime import addresses, networks
from ferryman.runtime.networks import PREDEFINED, Network
from ferryman.store.layout import Store

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_TYPES = ("builtin", "custom")

Test = Callable[[Network], bool]


def listed(store: Store, filters: Sequence[str] = ()) -> list[Network]:
    """Return the networks by name.

    `filters` are ``key=value`` with the keys dangling, driver, id, label, name, scope and type
    (builtin or custom).  Raises InvalidFlag, UsageError, StoreError.
    """
    values = parsed(filters, _TESTS)
    tests = [_TESTS[key](store, each) for key, each in values.items()]
    return [network for network in networks.every(store) if all(test(network) for test in tests)]


def _dangling(store: Store, values: list[str]) -> Test:
    if len(values) > 1 or values[0] not in _TRUTH:
        raise UsageError(
            'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'
        )
    used = {
        place.network_id
        for _, state in addresses.states(store)
        for place in state.endpoints.values()
    }
    wanted = _TRUTH[values[0]]
    return lambda network: (network.name not in PREDEFINED and network.id not in used) == wanted


def _driver(store: Store, values: list[str]) -> Test:
    return lambda network: network.driver in values


def _id(store: Store, values: list[str]) -> Test:
    return lambda network: any(value in network.id for value in values)


def _label(store: Store, values: list[str]) -> Test:
    return lambda network: labelled(network.labels, values)


def _name(store: Store, values: list[str]) -> Test:
    return lambda network: any(value in network.name for value in values)


def _scope(store: Store, values: list[str]) -> Test:
    return lambda network: "local" in values


def _type(store: Store, values: list[str]) -> Test:
    for value in values:
        if value not in _TYPES:
            raise UsageError(f"invalid filter: 'type'='{value}'")
    return lambda network: _TYPES[network.name not in PREDEFINED] in values


_TESTS: dict[str, Callable[[Store, list[str]], Test]] = {
    "dangling": _dangling,
    "driver": _driver,
    "id": _id,
    "label": _label,
    "name": _name,
    "scope": _scope,
    "type": _type,
}
