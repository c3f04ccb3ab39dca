"""``ferry network``: the commands on networks."""

import click

from ferryman.cli.lazy import LazyGroup

_COMMANDS = {
    "connect": "network_connect",
    "create": "network_create",
    "disconnect": "network_disconnect",
    "inspect": "network_inspect",
    "ls": "network_ls",
    "list": "network_ls",
    "prune": "network_prune",
    "rm": "network_rm",
    "remove": "network_rm",
}


@click.group("network", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Manage networks."""
