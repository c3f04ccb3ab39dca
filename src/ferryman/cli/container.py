"""``ferry container``: the commands on containers, by docker's longer names."""

import click

from ferryman.cli.lazy import LazyGroup

COMMANDS = {
    "attach": "attach",
    "cleanup": "cleanup",
    "commit": "commit",
    "cp": "cp",
    "create": "create",
    "diff": "container_diff",
    "exec": "exec_",
    "export": "export",
    "health": "health",
    "inspect": "inspect",
    "kill": "kill",
    "logs": "logs",
    "ls": "ps",
    "list": "ps",
    "ps": "ps",
    "pause": "pause",
    "port": "port",
    "prune": "container_prune",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "remove": "rm",
    "run": "run",
    "start": "start",
    "stats": "stats",
    "stop": "stop",
    "top": "top",
    "unpause": "unpause",
    "wait": "wait",
}


@click.group("container", cls=LazyGroup, modules=COMMANDS)
def command() -> None:
    """Manage containers."""
