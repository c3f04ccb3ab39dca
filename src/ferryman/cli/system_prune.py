"""``ferry system prune``."""

import click

from ferryman.cli.image_prune import confirmed, print_images
from ferryman.cli.stores import container_store
from ferryman.cli.table import print_list
from ferryman.cli.units import human_size


@click.command("prune")
@click.option(
    "-a", "--all", "every", is_flag=True, help="Remove all unused images, not just dangling ones"
)
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=TIME, label=KEY"
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.option("--volumes", "with_volumes", is_flag=True, help="Remove anonymous volumes too")
def command(every: bool, filters: tuple[str, ...], force: bool, with_volumes: bool) -> None:
    """Remove everything that is not in use, and what commands that died have left."""
    from ferryman.operations.system_prune import check, prune

    check(filters, with_volumes=with_volumes)
    if not force and not confirmed(_warning(filters, every=every, with_volumes=with_volumes)):
        return
    pruned = prune(container_store(), filters, every=every, with_volumes=with_volumes)
    print_list("Deleted Containers:", pruned.containers)
    print_list("Deleted Networks:", pruned.networks)
    print_list("Deleted Volumes:", pruned.volumes)
    print_images(pruned.images)
    print_list("Deleted Mountable Layers:", pruned.layers)
    click.echo(f"Total reclaimed space: {human_size(pruned.freed, 4)}")


def _warning(filters: tuple[str, ...], *, every: bool, with_volumes: bool) -> str:
    lines = ["WARNING! This will remove:", "  - all stopped containers"]
    lines.append("  - all networks not used by at least one container")
    if with_volumes:
        lines.append("  - all anonymous volumes not used by at least one container")
    if every:
        lines.append("  - all images without at least one container associated to them")
        if not filters:
            lines.append("  - all build cache")
    else:
        lines.append("  - all dangling images")
    lines.append("  - everything unfinished, and what no image or container needs")
    if filters:
        lines += ["", "  Items to be pruned will be filtered with:"]
        lines += [f"  - {each}" for each in sorted(filters)]
    return "\n".join([*lines, ""])
