"""``ferry container prune``."""

import click

from ferryman.cli.image_prune import confirmed
from ferryman.cli.stores import chosen_store
from ferryman.cli.units import human_size


@click.command("prune")
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=TIME, label=KEY"
)
def command(force: bool, filters: tuple[str, ...]) -> None:
    """Remove all stopped containers."""
    if force or confirmed("WARNING! This will remove all stopped containers."):
        prune_containers(filters)


def prune_containers(filters: tuple[str, ...] = ()) -> None:
    """Remove what does not run, and say what went."""
    from ferryman.operations.container_prune import prune

    removed, freed = prune(chosen_store(), filters)
    if removed:
        click.echo("Deleted Containers:")
        for container_id in removed:
            click.echo(container_id)
        click.echo()
    click.echo(f"Total reclaimed space: {human_size(freed)}")
