"""``ferry container cleanup``: called by the monitor when a container has ended."""

import click

from ferryman.cli.stores import container_store


@click.command("cleanup", hidden=True)
@click.argument("container_id", metavar="ID")
def command(container_id: str) -> None:
    """See to the end of a container."""
    from ferryman.operations.cleanup import cleanup

    cleanup(container_store(), container_id)
