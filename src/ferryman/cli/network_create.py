"""``ferry network create``."""

import click

from ferryman.cli.flags import variables
from ferryman.cli.flags.grammar import Value
from ferryman.cli.stores import container_store

_LABEL = Value(variables.label, "list")


@click.command("create")
@click.option("--attachable", is_flag=True, help="Accepted for docker's sake: of swarms only")
@click.option(
    "--aux-address", "others", multiple=True, metavar="NAME=ADDRESS", help="Addresses not to give"
)
@click.option("-d", "--driver", default="bridge", metavar="DRIVER", help='Only "bridge"')
@click.option("--gateway", "gateways", multiple=True, metavar="ADDRESS", help="Gateway of a subnet")
@click.option("--internal", is_flag=True, help="Restrict external access to the network")
@click.option(
    "--ip-range", "ranges", multiple=True, metavar="CIDR", help="Give addresses of this part only"
)
@click.option("--ipv4/--no-ipv4", default=True, help="Give IPv4 addresses (default true)")
@click.option("--ipv6", is_flag=True, help="Give IPv6 addresses")
@click.option("--label", "labels", type=_LABEL, multiple=True, metavar="KEY=VALUE", help="A label")
@click.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="Bridge options")
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="The network's addresses")
@click.argument("name", metavar="NETWORK")
def command(
    attachable: bool,
    others: tuple[str, ...],
    driver: str,
    gateways: tuple[str, ...],
    internal: bool,
    ranges: tuple[str, ...],
    ipv4: bool,
    ipv6: bool,
    labels: tuple[str, ...],
    options: tuple[str, ...],
    subnets: tuple[str, ...],
    name: str,
) -> None:
    """Create a network."""
    from ferryman.operations.network_create import composed, create

    network = create(
        container_store(),
        name,
        driver=driver,
        subnets=composed(
            _split(subnets), _split(ranges), _split(gateways), variables.pairs(others)
        ),
        internal=internal,
        attachable=attachable,
        ipv4=ipv4,
        ipv6=ipv6,
        options=variables.pairs(options),
        labels=variables.pairs(labels),
    )
    click.echo(network.id)


def _split(texts: tuple[str, ...]) -> list[str]:
    """Return the values of a flag that may have several, with commas in between."""
    return [each for text in texts for each in text.split(",")]
