"""``ferry network rm``."""

import click

from ferryman.cli.each import for_each
from ferryman.cli.stores import container_store


@click.command("rm")
@click.option("-f", "--force", is_flag=True, help="Do not error if the network does not exist")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK [NETWORK...]")
def command(force: bool, names: tuple[str, ...]) -> int:
    """Remove one or more networks."""
    from ferryman.operations.network_remove import remove
    from ferryman.runtime.networks import NetworkNotFound

    store = container_store()

    def one(name: str) -> bool:
        try:
            remove(store, name)
        except NetworkNotFound:
            if not force:
                raise
            return False
        return True

    return for_each(names, one)
