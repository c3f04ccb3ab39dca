"""``ferry restart``."""

import click

from ferryman.cli.each import for_each
from ferryman.cli.stores import chosen_store


@click.command("restart")
@click.option("-s", "--signal", metavar="SIGNAL", help="Signal to send to the container")
@click.option(
    "-t",
    "--timeout",
    "--time",
    "timeout",
    type=int,
    metavar="SECONDS",
    help="Seconds to wait before killing the container (default 10)",
)
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER [CONTAINER...]")
def command(signal: str | None, timeout: int | None, names: tuple[str, ...]) -> int:
    """Restart one or more containers."""
    from ferryman.operations.stop import restart

    store = chosen_store()
    return for_each(names, lambda name: restart(store, name, timeout=timeout, signal=signal))
