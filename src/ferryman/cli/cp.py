"""``ferry cp``, ``ferry container cp``."""

import sys

import click

from ferryman.cli.stores import container_store
from ferryman.cli.units import human_size
from ferryman.errors import UsageError


@click.command("cp")
@click.option("-a", "--archive", is_flag=True, help="Archive mode (copy all uid/gid information)")
@click.option("-L", "--follow-link", is_flag=True, help="Always follow symbol link in SRC_PATH")
@click.option(
    "-q",
    "--quiet/--no-quiet",
    default=None,
    help="Do not say what was copied, as without a terminal",
)
@click.argument("source", metavar="CONTAINER:SRC_PATH|SRC_PATH|-")
@click.argument("target", metavar="CONTAINER:DEST_PATH|DEST_PATH|-")
def command(archive: bool, follow_link: bool, quiet: bool | None, source: str, target: str) -> None:
    """Copy files/folders between a container and the local filesystem."""
    from ferryman.operations.cp import cp, place

    if not source:
        raise UsageError("source can not be empty")
    if not target:
        raise UsageError("destination can not be empty")
    origin, destination = place(source), place(target)
    if origin.container is not None and target == "-" and sys.stdout.isatty():
        raise UsageError("refusing to write an archive to a terminal: redirect or use a pipe")
    copied = cp(container_store(), origin, destination, archive=archive, follow=follow_link)
    if quiet is None:
        quiet = not sys.stdout.isatty()
    if not quiet and "-" not in (source, target):
        click.echo(f"Successfully copied {human_size(copied.size)} to {copied.to}", err=True)
