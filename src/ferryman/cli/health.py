"""``ferry container health``: the process that checks a container, started with it."""

import click

from ferryman.cli.stores import container_store


@click.command("health", hidden=True)
@click.argument("container_id", metavar="ID")
def command(container_id: str) -> None:
    """Check a container's health until it ends."""
    from ferryman.runtime.health import watch

    watch(container_store(), container_id)
