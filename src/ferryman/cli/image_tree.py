"""``ferry image tree``."""

import click

from ferryman.cli.stores import chosen_store
from ferryman.cli.table import shortened
from ferryman.cli.units import human_size

_WIDTH = 60


@click.command("tree")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.argument("names", nargs=-1, metavar="[IMAGE...]")
def command(no_trunc: bool, names: tuple[str, ...]) -> None:
    """Show the layers of images, their sizes, and which images share them."""
    from ferryman.operations.tree import tree

    for each in tree(chosen_store(), names):
        image = each.image
        called = ", ".join(name.familiar for name in image.names) or "<none>"
        size = human_size(sum(layer.uncompressed for layer in each.layers))
        click.echo(f"{called}  {image.id if no_trunc else image.id.short}  {size}")
        for i, layer in enumerate(each.layers, 1):
            edge = "└──" if i == len(each.layers) else "├──"
            digest = str(layer.digest) if no_trunc else layer.digest.short
            size = human_size(layer.uncompressed)
            if layer.size != layer.uncompressed:
                size += f" ({human_size(layer.size)} compressed)"
            step = " ".join(layer.created_by.split())
            if not no_trunc:
                step = shortened(step, _WIDTH)
            shared = f"  [also in {', '.join(layer.shared_by)}]" if layer.shared_by else ""
            click.echo("  ".join(part for part in (edge, digest, size, step) if part) + shared)
