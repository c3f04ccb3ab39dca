"""``ferry network prune``."""

import click

from ferryman.cli.image_prune import confirmed
from ferryman.cli.stores import container_store
from ferryman.cli.table import print_list

_WARNING = "WARNING! This will remove all custom networks not used by at least one container."


@click.command("prune")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=TIME, label=KEY"
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
def command(filters: tuple[str, ...], force: bool) -> None:
    """Remove all unused networks."""
    from ferryman.operations.network_remove import prune

    if force or confirmed(_WARNING):
        print_list("Deleted Networks:", prune(container_store(), filters))
