"""``ferry volume rm``."""

import click

from ferryman.cli.each import for_each
from ferryman.cli.stores import container_store


@click.command("rm")
@click.option("-f", "--force", is_flag=True, help="Do not error if the volume does not exist")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME [VOLUME...]")
def command(force: bool, names: tuple[str, ...]) -> int:
    """Remove one or more volumes, which no container may use."""
    from ferryman.runtime.volumes import VolumeNotFound, remove

    store = container_store()

    def one(name: str) -> None:
        try:
            remove(store, name)
        except VolumeNotFound:
            # As docker: what is not there needs no removing, when one insists.
            if not force:
                raise

    return for_each(names, one)
