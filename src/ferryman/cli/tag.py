"""``ferry tag``."""

import click

from ferryman.cli.stores import chosen_store


@click.command("tag")
@click.argument("source", metavar="SOURCE_IMAGE[:TAG]")
@click.argument("target", metavar="TARGET_IMAGE[:TAG]")
def command(source: str, target: str) -> None:
    """Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE."""
    from ferryman.operations.tag import tag

    tag(chosen_store(), source, target)
