"""``ferry volume inspect``."""

from functools import partial

import click

from ferryman.cli.inspect import inspected
from ferryman.cli.stores import container_store


@click.command("inspect")
@click.option("-f", "--format", "form", metavar="FORMAT", help="Format output: 'json' or TEMPLATE")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME [VOLUME...]")
def command(form: str | None, names: tuple[str, ...]) -> int:
    """Display detailed information on one or more volumes."""
    from ferryman.operations.volume_inspect import inspect

    return inspected(partial(inspect, container_store()), names, form)
