"""``ferry image prune``."""

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
def command(every: bool, force: bool, filters: tuple[str, ...]) -> int:
    """Remove unused images."""
    what = (
        "all images without at least one container associated to them"
        if every
        else "all dangling images"
    )
    if not force and not confirmed(f"WARNING! This will remove {what}."):
        return 1
    prune_images(every=every, filters=filters)
    return 0


def confirmed(warning: str) -> bool:
    """Ask as docker's prune commands do."""
    answer = click.prompt(
        f"{warning}\nAre you sure you want to continue? [y/N]",
        prompt_suffix=" ",
        default="n",
        show_default=False,
    )
    return str(answer).strip().lower() in ("y", "yes")


def prune_images(*, every: bool, filters: tuple[str, ...] = ()) -> None:
    """Remove images and say which."""
    from ferryman.operations.listing import listed
    from ferryman.operations.remove import prune

    store = chosen_store()
    matching = {row.image.digest for row in listed(store, filters=filters)} if filters else None
    removed = prune(
        store,
        lambda image: (
            (bool(image.names) and not every)
            or (matching is not None and image.digest not in matching)
        ),
    )
    if removed.untagged or removed.deleted:
        click.echo("Deleted Images:")
        for name in removed.untagged:
            click.echo(f"untagged: {name.familiar}")
        for digest in removed.deleted:
            click.echo(f"deleted: {digest}")
        click.echo()
    click.echo(f"Total reclaimed space: {human_size(removed.freed, 4)}")
