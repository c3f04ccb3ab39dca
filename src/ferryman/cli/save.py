"""``ferry save``."""

import sys

import click

from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.errors import UsageError


@click.command("save")
@click.option("-o", "--output", "path", metavar="FILE", help="Write to a file, instead of STDOUT")
@click.option("--platform", metavar="OS/ARCH", help="Save only the given platform")
@click.option(
    "--format",
    "form",
    type=click.Choice(["docker", "oci"]),
    default="docker",
    show_default=True,
    help="docker: loads in every docker, podman and skopeo; oci: an image layout",
)
@click.option(
    "--compress",
    default="none",
    show_default=True,
    metavar="none|gzip|zstd[:LEVEL]",
    help="Compress the archive as a whole",
)
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Save what matches"
)
@click.option("--compose", metavar="FILE", help="Save all images of a compose project")
@click.option("-a", "--all", "every", is_flag=True, help="Save all images that have a name")
@click.option(
    "--base",
    "bases",
    multiple=True,
    metavar="IMAGE|ARCHIVE|INVENTORY",
    help="Leave out what is there already by this",
)
@click.option("-q", "--quiet", is_flag=True, help="Suppress the progress output")
@click.argument("names", nargs=-1, metavar="IMAGE [IMAGE...]")
def command(
    path: str | None,
    platform: str | None,
    form: str,
    compress: str,
    filters: tuple[str, ...],
    compose: str | None,
    every: bool,
    bases: tuple[str, ...],
    quiet: bool,
    names: tuple[str, ...],
) -> None:
    """Save one or more images to an archive (streamed to STDOUT by default)."""
    from ferryman.archive.compression import parse_choice
    from ferryman.image import platform as platforms
    from ferryman.operations import save
    from ferryman.operations.output import replacing

    parse_choice(compress)
    wanted = platforms.parse(platform) if platform else None
    if not (names or filters or compose or every):
        raise click.UsageError("'ferry save' requires at least 1 argument")
    path = path or None
    if path is None and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    store = chosen_store()
    selected = list(names)
    if compose:
        from ferryman.operations.compose import image_names

        selected += image_names(compose)
    if filters or every:
        from ferryman.operations.listing import listed

        rows = listed(store, filters=filters)
        selected += [
            name
            for row in rows
            for name in (row.image.repo_tags or ([] if every and not filters else [row.image.id]))
        ]
        if not selected:
            raise UsageError("no image matches: nothing to save")
    sites = []
    if bases:
        from ferryman.operations.bases import known, without

        sites = known(store, bases)
    with save.chosen(store, selected, wanted) as chosen:
        images = without(store, chosen, sites) if sites else chosen
        if path is None:
            save.save(store, images, sys.stdout.fileno(), form=form, compress=compress)
            return
        with (
            replacing(path, "failed to save image") as fd,
            shown(quiet=quiet, on=sys.stderr) as progress,
        ):
            save.save(store, images, fd, form=form, compress=compress, progress=progress)
