"""``ferry volume``: the commands on volumes."""

import click

from ferryman.cli.lazy import LazyGroup

_COMMANDS = {
    "create": "volume_create",
    "inspect": "volume_inspect",
    "ls": "volume_ls",
    "list": "volume_ls",
    "prune": "volume_prune",
    "rm": "volume_rm",
    "remove": "volume_rm",
}


@click.group("volume", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Manage volumes."""
