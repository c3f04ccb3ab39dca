"""``ferry network connect``."""

import click

from ferryman.cli.flags import networks
from ferryman.cli.flags.grammar import Value
from ferryman.cli.stores import container_store
from ferryman.errors import UsageError
from ferryman.runtime.settings import NetworkRequest


@click.command("connect")
@click.option(
    "--alias", "aliases", multiple=True, metavar="NAME", help="What it is called in the network too"
)
@click.option("--ip", "address", type=Value(networks.ip, "ip"), default="", help="IPv4 address")
@click.option("--link", "links", multiple=True, hidden=True)
@click.argument("network", metavar="NETWORK")
@click.argument("container", metavar="CONTAINER")
def command(
    aliases: tuple[str, ...], address: str, links: tuple[str, ...], network: str, container: str
) -> None:
    """Connect a container to a network."""
    from ferryman.operations.network_connect import connect

    if links:
        raise UsageError("links between containers are not known here: use --alias")
    request = NetworkRequest(aliases=list(aliases) or None, ip_address=address)
    connect(container_store(), network, container, request)
