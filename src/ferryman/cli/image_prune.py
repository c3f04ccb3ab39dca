"""``ferry image prune``."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ferryman.cli.stores import container_store
from ferryman.cli.units import human_size

if TYPE_CHECKING:
    from ferryman.operations.remove import Removed


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
    from ferryman.operations.image_prune import prune

    what = (
        "all images without at least one container associated to them"
        if every
        else "all dangling images"
    )
    if not force and not confirmed(f"WARNING! This will remove {what}."):
        return
    pruned = prune(container_store(), filters, every=every)
    print_images(pruned.images)
    click.echo(f"Total reclaimed space: {human_size(pruned.freed, 4)}")


def confirmed(warning: str) -> bool:
    """Ask as docker's prune commands do."""
    click.echo(f"{warning}\nAre you sure you want to continue? [y/N] ", nl=False)
    return sys.stdin.readline().strip().lower() == "y"


def print_images(images: "Sequence[Removed]") -> None:
    """Say which images went, by their names, IDs and layers."""
    if not any(image.untagged or image.deleted for image in images):
        return
    click.echo("Deleted Images:")
    for image in images:
        for name in image.untagged:
            click.echo(f"untagged: {name.familiar}")
        for digest in image.deleted:
            click.echo(f"deleted: {digest}")
    click.echo()
