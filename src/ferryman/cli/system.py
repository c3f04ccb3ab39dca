"""``ferry system``: the store as a whole."""

import click

from ferryman.cli.lazy import LazyGroup

_COMMANDS = {"check": "system_check", "df": "system_df", "prune": "system_prune"}


@click.group("system", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Manage the store."""
