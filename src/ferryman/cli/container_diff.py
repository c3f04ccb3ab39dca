"""``ferry diff``, ``ferry container diff``."""

import click

from ferryman.cli.image_diff import printable
from ferryman.cli.stores import container_store


@click.command("diff")
@click.argument("name", metavar="CONTAINER")
def command(name: str) -> None:
    """Inspect changes to files or directories on a container's filesystem."""
    from ferryman.operations.container_diff import container_diff

    for change in container_diff(container_store(), name):
        click.echo(f"{change.kind} {printable(change.path)}")
