"""``ferry restart``."""

import click

from ferryman.cli.each import for_each
from ferryman.cli.stop import stop_options
from ferryman.cli.stores import container_store


@click.command("restart")
@stop_options
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER [CONTAINER...]")
def command(signal: str | None, timeout: int | None, names: tuple[str, ...]) -> int:
    """Restart one or more containers."""
    from ferryman.operations.stop import restart

    store = container_store()
    return for_each(names, lambda name: restart(store, name, timeout=timeout, signal=signal))
