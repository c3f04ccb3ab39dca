"""``ferry stop``."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ferryman.cli.each import for_each
from ferryman.cli.stores import container_store

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("-s", "--signal", metavar="SIGNAL", help="Signal to send to the container"),
    click.option(
        *("-t", "--timeout", "--time", "timeout"),
        type=int,
        metavar="SECONDS",
        help="Seconds to wait before killing the container (default 10)",
    ),
)


def stop_options(function: Function) -> Function:
    """Give a command the flags that say how a container is to be stopped."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("stop")
@stop_options
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER [CONTAINER...]")
def command(signal: str | None, timeout: int | None, names: tuple[str, ...]) -> int:
    """Stop one or more running containers."""
    from ferryman.operations.stop import stop

    store = container_store()
    return for_each(
        names, lambda name: stop(store, name, timeout=timeout, signal=signal), at_once=True
    )
