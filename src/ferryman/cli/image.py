"""``ferry image``: the commands on images, by docker's longer names."""

import click

from ferryman.cli.lazy import LazyGroup

_COMMANDS = {
    "build": "build",
    "diff": "image_diff",
    "export": "image_export",
    "history": "history",
    "import": "import_",
    "inspect": "inspect",
    "load": "load",
    "ls": "images",
    "list": "images",
    "prune": "image_prune",
    "pull": "pull",
    "push": "push",
    "rm": "remove",
    "remove": "remove",
    "save": "save",
    "tag": "tag",
    "tree": "image_tree",
}


@click.group("image", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """Manage images."""
