"""``ferry volume prune``."""

import click

from ferryman.cli.image_prune import confirmed
from ferryman.cli.stores import container_store
from ferryman.cli.table import print_list
from ferryman.cli.units import human_size


@click.command("prune")
@click.option(
    "-a", "--all", "every", is_flag=True, help="Remove all unused volumes, not just anonymous ones"
)
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="label=KEY")
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
def command(every: bool, filters: tuple[str, ...], force: bool) -> None:
    """Remove unused volumes."""
    from ferryman.operations.volume_prune import prune

    what = "all" if every else "anonymous"
    warning = f"WARNING! This will remove {what} local volumes not used by at least one container."
    if not force and not confirmed(warning):
        return
    removed, freed = prune(container_store(), filters, every=every)
    print_list("Deleted Volumes:", removed)
    click.echo(f"Total reclaimed space: {human_size(freed, 4)}")
