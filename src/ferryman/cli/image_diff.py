"""``ferry image diff``."""

import click

from ferryman.cli.stores import chosen_store
from ferryman.cli.units import human_size


@click.command("diff")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line")
@click.argument("one", metavar="IMAGE")
@click.argument("other", metavar="IMAGE")
def command(as_json: bool, one: str, other: str) -> None:
    """Show the files added (A), changed (C) and removed (D) from one image to another, by layer."""
    import msgspec

    from ferryman.operations.image_diff import by_layer, image_diff

    changes = image_diff(chosen_store(), one, other)
    if as_json:
        for change in changes:
            line = {
                "kind": change.kind,
                "path": printable(change.path),
                "layer": change.layer,
                "size": change.size,
            }
            click.echo(msgspec.json.encode(line, enc_hook=str))
        return
    for layer, within in by_layer(changes).items():
        size = human_size(sum(change.size for change in within if change.kind != "D"))
        click.echo(f"{layer.partition(':')[2][:12]}  {len(within)} files, {size}")
        for change in within:
            click.echo(f"{change.kind} {printable(change.path)}")


def printable(path: bytes) -> str:
    """Write a path so that it can do nothing to a terminal."""
    text = "/" + path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
