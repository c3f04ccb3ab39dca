"""``ferry builder``: building, and what it keeps."""

import click

from ferryman.cli.lazy import LazyGroup

_COMMANDS = {"build": "build", "prune": "builder_prune"}


@click.group("builder", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Manage builds."""
