"""``ferry image prune``."""

import sys

import click

from ferryman.cli.stores import chosen_store
from ferryman.cli.units import human_size


@click.command("prune")
@click.option(
    "-a", "--all", "every", is_flag=True, help="Remove all images, not just dangling ones"
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=TIME, label=KEY"
)
def command(every: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove unused images."""
    what = (
        "all images without at least one container associated to them"
        if every
        else "all dangling images"
    )
    if force or confirmed(f"WARNING! This will remove {what}."):
        prune_images(every=every, filters=filters)


def confirmed(warning: str) -> bool:
    """Ask as docker's prune commands do."""
    click.echo(f"{warning}\nAre you sure you want to continue? [y/N] ", nl=False)
    return sys.stdin.readline().strip().lower() == "y"


def prune_images(*, every: bool, filters: tuple[str, ...] = ()) -> None:
    """Remove images and say which."""
    from ferryman.operations.listing import listed
    from ferryman.operations.remove import prune

    store = chosen_store()
    matching = {row.image.digest for row in listed(store, filters=filters)} if filters else None
    pruned = prune(
        store,
        lambda image: (
            (bool(image.names) and not every)
            or (matching is not None and image.digest not in matching)
        ),
    )
    if any(image.untagged or image.deleted for image in pruned.images):
        click.echo("Deleted Images:")
        for image in pruned.images:
            for name in image.untagged:
                click.echo(f"untagged: {name.familiar}")
            for digest in image.deleted:
                click.echo(f"deleted: {digest}")
        click.echo()
    click.echo(f"Total reclaimed space: {human_size(pruned.freed, 4)}")
