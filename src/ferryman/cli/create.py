"""``ferry create``, ``ferry container create``."""

import click

from ferryman.cli.creating import created
from ferryman.cli.run_flags import Requested, container_command
from ferryman.cli.stores import container_store


@container_command("create")
def command(requested: Requested) -> None:
    """Create a new container."""
    click.echo(created(container_store(first=True), requested).id)
