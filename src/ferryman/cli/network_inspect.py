"""``ferry network inspect``."""

from functools import partial

import click

from ferryman.cli.inspect import inspected
from ferryman.cli.stores import container_store


@click.command("inspect")
@click.option("-f", "--format", "form", metavar="FORMAT", help="Format output: 'json' or TEMPLATE")
@click.option("-v", "--verbose", is_flag=True, help="Accepted for docker's sake: of swarms only")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK [NETWORK...]")
def command(form: str | None, verbose: bool, names: tuple[str, ...]) -> int:
    """Display detailed information on one or more networks."""
    from ferryman.operations.network_inspect import inspect

    return inspected(partial(inspect, container_store()), names, form)
