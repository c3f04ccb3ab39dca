"""``ferry import``."""

import os
import sys
from typing import Any

import click

from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.errors import UsageError


@click.command("import")
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply to the image"
)
@click.option("-m", "--message", help="Set commit message for imported image")
@click.option(
    "--platform", metavar="OS/ARCH", help="Set platform if server is multi-platform capable"
)
@click.option(
    "--config-from",
    metavar="IMAGE|FILE",
    help="Begin with the settings of an image, or of a config.json",
)
@click.option("-q", "--quiet", is_flag=True, help="Suppress the progress output")
@click.argument("source", metavar="file|URL|-")
@click.argument("name", required=False, metavar="[REPOSITORY[:TAG]]")
def command(
    changes: tuple[str, ...],
    message: str | None,
    platform: str | None,
    config_from: str | None,
    quiet: bool,
    source: str,
    name: str | None,
) -> None:
    """Import the contents from a tarball to create a filesystem image."""
    from ferryman.image import platform as platforms
    from ferryman.image import reference
    from ferryman.operations import import_, settings

    named = reference.parse(name).tagged() if name else None
    if named and named.digest:
        raise UsageError("cannot import digest reference")
    platform = platform or os.environ.get("DOCKER_DEFAULT_PLATFORM")
    wanted = platforms.parse(platform) if platform else None
    if source == "-" and sys.stdin.isatty():
        raise UsageError("requested import from stdin, but stdin is a terminal: use a file or pipe")
    store = chosen_store()
    config: dict[str, Any] | None = None
    if config_from:
        config = settings.of(store, config_from)
    with shown(quiet=quiet, on=sys.stderr) as progress, import_.opened(source) as opened:
        image_id = import_.import_(
            store,
            opened,
            name=named,
            changes=changes,
            config=config,
            message=message,
            platform=wanted,
            progress=progress,
        )
    click.echo(image_id)
