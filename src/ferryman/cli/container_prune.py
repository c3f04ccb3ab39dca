"""``ferry container prune``."""

import click

from ferryman.cli.image_prune import confirmed
from ferryman.cli.stores import container_store
from ferryman.cli.table import print_list
from ferryman.cli.units import human_size


@click.command("prune")
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=TIME, label=KEY"
)
def command(force: bool, filters: tuple[str, ...]) -> None:
    """Remove all stopped containers."""
    from ferryman.operations.container_prune import prune

    if not force and not confirmed("WARNING! This will remove all stopped containers."):
        return
    removed, freed = prune(container_store(), filters)
    print_list("Deleted Containers:", removed)
    click.echo(f"Total reclaimed space: {human_size(freed, 4)}")
