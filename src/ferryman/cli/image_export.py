"""``ferry image export``."""

import sys

import click

from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.errors import UsageError


@click.command("export")
@click.option("-o", "--output", "path", metavar="FILE", help="Write to a file, instead of STDOUT")
@click.option("--platform", metavar="OS/ARCH", help="Export this platform of the image")
@click.option("-q", "--quiet", is_flag=True, help="Suppress the progress output")
@click.argument("name", metavar="IMAGE")
def command(path: str | None, platform: str | None, quiet: bool, name: str) -> None:
    """Export an image's merged files as a tar archive, without a container."""
    from ferryman.image import platform as platforms
    from ferryman.operations.image_export import image_export
    from ferryman.operations.output import replacing

    wanted = platforms.parse(platform) if platform else None
    if path is None and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    store = chosen_store()
    if path is None:
        image_export(store, name, sys.stdout.fileno(), platform=wanted)
        return
    with (
        replacing(path, "failed to export image") as fd,
        shown(quiet=quiet, on=sys.stderr) as progress,
    ):
        image_export(store, name, fd, platform=wanted, progress=progress)
