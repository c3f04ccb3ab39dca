"""``ferry rename``."""

import click

from ferryman.cli.stores import container_store


@click.command("rename")
@click.argument("container", metavar="CONTAINER")
@click.argument("name", metavar="NEW_NAME")
def command(container: str, name: str) -> None:
    """Rename a container."""
    from ferryman.operations.rename import rename

    rename(container_store(), container, name)
