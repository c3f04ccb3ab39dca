"""``ferry kill``."""

import click

from ferryman.cli.each import for_each
from ferryman.cli.stores import container_store


@click.command("kill")
@click.option("-s", "--signal", default="KILL", metavar="SIGNAL", help="Signal to send")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER [CONTAINER...]")
def command(signal: str, names: tuple[str, ...]) -> int:
    """Kill one or more running containers."""
    from ferryman.operations.stop import kill

    store = container_store()
    return for_each(names, lambda name: kill(store, name, signal), at_once=True)
