"""``ferry network ls``."""

from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.stores import container_store
from ferryman.cli.table import rendered

if TYPE_CHECKING:
    from ferryman.runtime.networks import Network

_HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


@click.command("ls")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="What matches")
@click.option(
    "--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or TEMPLATE"
)
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only display network IDs")
def command(filters: tuple[str, ...], form: str | None, no_trunc: bool, quiet: bool) -> None:
    """List networks."""
    from ferryman.operations.network_listing import listed

    if not form or form == "table":
        form = "{{.ID}}" if quiet else "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
    rows = [_fields(network, no_trunc=no_trunc) for network in listed(container_store(), filters)]
    for line in rendered(form, rows, _HEADERS, "*network.networkContext"):
        click.echo(line)


def _fields(network: "Network", *, no_trunc: bool) -> dict[str, Any]:
    from ferryman.cli.gotemplate.value import Time

    return {
        "ID": network.id if no_trunc else network.id[:12],
        "Name": network.name,
        "Driver": network.driver,
        "Scope": "local",
        "IPv4": _word(network.driver == "bridge" and network.ipv4),
        "IPv6": _word(network.ipv6),
        "Internal": _word(network.internal),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(network.labels.items())),
        "CreatedAt": str(Time(network.created)),
    }


def _word(truth: bool) -> str:
    return "true" if truth else "false"
