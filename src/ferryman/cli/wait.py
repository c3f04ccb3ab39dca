"""``ferry wait``."""

import click

from ferryman.cli.stores import container_store
from ferryman.errors import FerryError


@click.command("wait")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER [CONTAINER...]")
def command(names: tuple[str, ...]) -> int:
    """Block until one or more containers stop, then print their exit codes."""
    from ferryman.operations.wait import wait

    store = container_store()
    code = 0
    for name in names:
        try:
            click.echo(wait(store, name))
        except FerryError as e:
            click.echo(f"Error: {e}", err=True)
            code = 1
    return code
