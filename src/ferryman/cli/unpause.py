"""``ferry unpause``."""

import click

from ferryman.cli.each import for_each
from ferryman.cli.stores import container_store


@click.command("unpause")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER [CONTAINER...]")
def command(names: tuple[str, ...]) -> int:
    """Unpause all processes within one or more containers."""
    from ferryman.operations.stop import unpause

    store = container_store()
    return for_each(names, lambda name: unpause(store, name))
