"""``ferry builder prune``."""

import click

from ferryman.cli.image_prune import confirmed
from ferryman.cli.stores import container_store
from ferryman.cli.units import human_size


@click.command("prune")
@click.option("-a", "--all", "every", is_flag=True, help="All of it, as without this flag")
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
def command(every: bool, force: bool) -> None:
    """Remove the build cache."""
    from ferryman.operations.builder_prune import prune

    if force or confirmed("WARNING! This will remove all of the build cache."):
        click.echo(f"Total reclaimed space: {human_size(prune(container_store()), 4)}")
