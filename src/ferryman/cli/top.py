"""``ferry top``, ``ferry container top``."""

import click

from ferryman.cli.flags.grammar import FlagCommand
from ferryman.cli.stores import container_store

_WIDTH = 20


@click.command("top", cls=FlagCommand)
@click.argument("name", metavar="CONTAINER")
@click.argument("options", nargs=-1, metavar="[ps OPTIONS]")
def command(name: str, options: tuple[str, ...]) -> None:
    """Display the running processes of a container."""
    from ferryman.cli.table import aligned
    from ferryman.operations.top import top

    found = top(container_store(), name, options)
    for line in aligned(["\t".join(row) for row in (found.titles, *found.rows)], _WIDTH):
        click.echo(line)
