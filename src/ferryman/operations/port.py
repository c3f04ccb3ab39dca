"""Port: where on the host the ports of a container are."""

from ferryman.errors import FerryError, UsageError
from ferryman.runtime import record
from ferryman.runtime.finish import settled
from ferryman.runtime.settings import PortBinding
from ferryman.store.layout import Store

_MOST = 65535


class NotPublished(FerryError):
    """A port that a container has not published, or does not even have."""


def mapped(store: Store, text: str, port: str = "") -> dict[str, list[PortBinding]]:
    """Return the published ports of a container by ``80/tcp``: all, or the one that is asked for.

    Raises ContainerNotFound, NotPublished, UsageError, StoreError.
    """
    container = record.find(store, text)
    ports = settled(store, container).ports
    if not port:
        return dict(sorted(ports.items(), key=lambda each: _order(each[0])))
    number, _, protocol = port.partition("/")
    _check(number)
    key = f"{int(number)}/{protocol or 'tcp'}"
    if not ports.get(key):
        raise NotPublished(f"No public port '{port}' published for {text}")
    return {key: ports[key]}


def _check(number: str) -> None:
    if not number.isdecimal() or not number.isascii():
        raise UsageError(
            f'invalid port ({number}): strconv.ParseUint: parsing "{number}": invalid syntax'
        )
    if int(number[:20]) > _MOST:
        raise UsageError(
            f'invalid port ({number}): strconv.ParseUint: parsing "{number}": value out of range'
        )


def _order(key: str) -> tuple[int, str]:
    number, _, protocol = key.partition("/")
    return int(number), protocol
