"""``ferry rm``, ``ferry container rm``."""

import click

from ferryman.cli.each import for_each
from ferryman.cli.stores import container_store
from ferryman.errors import UsageError


@click.command("rm")
@click.option("-f", "--force", is_flag=True, help="Force the removal of a running container")
@click.option("-v", "--volumes", is_flag=True, help="Remove anonymous volumes with the container")
@click.option("-l", "--link", is_flag=True, hidden=True)
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER [CONTAINER...]")
def command(force: bool, volumes: bool, link: bool, names: tuple[str, ...]) -> int:
    """Remove one or more containers."""
    from ferryman.operations.container_remove import remove
    from ferryman.runtime.record import ContainerNotFound

    if link:
        raise UsageError("links between containers are not known here: use a network")
    store = container_store()

    def one(name: str) -> None:
        try:
            remove(store, name, force=force, with_volumes=volumes)
        except ContainerNotFound:
            # As docker: what is not there needs no removing, when one insists.
            if not force:
                raise

    return for_each(names, one, at_once=True)
