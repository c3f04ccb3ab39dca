"""``ferry network disconnect``."""

import click

from ferryman.cli.stores import container_store


@click.command("disconnect")
@click.option("-f", "--force", is_flag=True, help="Force the container to disconnect")
@click.argument("network", metavar="NETWORK")
@click.argument("container", metavar="CONTAINER")
def command(force: bool, network: str, container: str) -> None:
    """Disconnect a container from a network."""
    from ferryman.operations.network_connect import disconnect

    disconnect(container_store(), network, container, force=force)
