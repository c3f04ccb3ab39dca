"""``ferry rmi``, ``ferry image rm``."""

import click

from ferryman.cli.stores import container_store
from ferryman.errors import FerryError, ImageNotFound


@click.command("rmi")
@click.option("-f", "--force", is_flag=True, help="Force removal of the image")
@click.option("--no-prune", is_flag=True, help="Accepted for docker's sake: there are no parents")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE [IMAGE...]")
def command(force: bool, no_prune: bool, names: tuple[str, ...]) -> int:
    """Remove one or more images."""
    from ferryman.operations.remove import remove

    del no_prune
    store = container_store()
    code = 0
    for name in names:
        try:
            removed = remove(store, name, force=force)
        except FerryError as e:
            click.echo(f"Error: {e}", err=True)
            # As docker: what is not there needs no removing, when one insists.
            if not (force and isinstance(e, ImageNotFound)):
                code = 1
            continue
        for untagged in removed.untagged:
            click.echo(f"Untagged: {untagged.familiar}")
        for deleted in removed.deleted:
            click.echo(f"Deleted: {deleted}")
    return code
