"""Which volumes are here: filtered as ``docker volume ls`` does it."""

from collections.abc import Callable, Sequence

from ferryman.errors import UsageError
from ferryman.operations.filters import labelled, parsed
from ferryman.runtime import volumes
from ferryman.runtime.volumes import DRIVER, Volume
from ferryman.store.layout import Store

_TRUTH = {"true": True, "1": True, "false": False, "0": False}

Test = Callable[[Volume], bool]


def listed(store: Store, filters: Sequence[str] = ()) -> list[Volume]:
    """Return the volumes by name.

    `filters` are ``key=value`` with the keys dangling, driver, label and name.  Raises InvalidFlag,
    UsageError, StoreError.
    """
    values = parsed(filters, _TESTS)
    tests = [_TESTS[key](store, each) for key, each in values.items()]
    return [volume for volume in volumes.every(store) if all(test(volume) for test in tests)]


def _dangling(store: Store, values: list[str]) -> Test:
    if any(value not in _TRUTH for value in values):
        raise UsageError(f"invalid filter 'dangling=[{' '.join(values)}]'")
    wanted = {_TRUTH[value] for value in values}
    users = volumes.users(store)
    return lambda volume: (volume.name not in users) in wanted


def _driver(store: Store, values: list[str]) -> Test:
    return lambda volume: DRIVER in values


def _label(store: Store, values: list[str]) -> Test:
    return lambda volume: labelled(volume.labels, values)


def _name(store: Store, values: list[str]) -> Test:
    return lambda volume: any(value in volume.name for value in values)


_TESTS: dict[str, Callable[[Store, list[str]], Test]] = {
    "dangling": _dangling,
    "driver": _driver,
    "label": _label,
    "name": _name,
}
