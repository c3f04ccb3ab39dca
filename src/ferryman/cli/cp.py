"""``ferry cp``, ``ferry container cp``."""

import sys

import click

from ferryman.cli.stores import chosen_store
from ferryman.cli.units import human_size
from ferryman.errors import UsageError


@click.command("cp")
@click.option("-a", "--archive", is_flag=True, help="Archive mode (copy all uid/gid information)")
@click.option("-L", "--follow-link", is_flag=True, help="Always follow symbol link in SRC_PATH")
@click.option("-q", "--quiet", is_flag=True, help="Suppress progress output during copy")
@click.argument("source", metavar="CONTAINER:SRC_PATH|SRC_PATH|-")
@click.argument("target", metavar="CONTAINER:DEST_PATH|DEST_PATH|-")
def command(archive: bool, follow_link: bool, quiet: bool, source: str, target: str) -> None:
    """Copy files/folders between a container and the local filesystem."""
    from ferryman.operations.cp import cp, place

    origin, destination = place(source), place(target)
    if origin.container is not None and target == "-" and sys.stdout.isatty():
        raise UsageError("refusing to write an archive to a terminal: redirect or use a pipe")
    size = cp(chosen_store(), origin, destination, archive=archive, follow=follow_link)
    if not quiet and "-" not in (source, target):
        click.echo(f"Successfully copied {human_size(size)} to {target}", err=True)
