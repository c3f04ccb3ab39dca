"""``ferry push``, ``ferry image push``."""

import threading

import click

from ferryman.cli.flags import referrers
from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.errors import UsageError


@click.command("push")
@click.option("-a", "--all-tags", "every", is_flag=True, help="Push all tags of the repository")
@click.option("--platform", default="", metavar="OS/ARCH", help="The platform to be pushed alone")
@click.option(
    "--compress",
    default="gzip",
    show_default=True,
    metavar="none|gzip|zstd[:LEVEL]",
    help="Compress layers that are not",
)
@referrers.with_referrers
@click.option("-q", "--quiet", is_flag=True, help="Suppress verbose output")
@click.option(
    "--disable-content-trust/--no-disable-content-trust",
    default=True,
    hidden=True,
    help="Taken for docker's sake; says nothing",
)
@click.argument("name", metavar="NAME[:TAG]")
def command(
    every: bool,
    platform: str,
    compress: str,
    with_referrers: bool,
    quiet: bool,
    disable_content_trust: bool,
    name: str,
) -> None:
    """Upload an image to a registry."""
    from ferryman.image import platform as platforms
    from ferryman.image import reference
    from ferryman.operations import push
    from ferryman.operations.progress import untold

    del disable_content_trust
    wanted = reference.parse(name)
    if every and wanted.tag:
        raise UsageError("tag can't be used with --all-tags/-a")
    if not every and wanted.tagged() != wanted and not quiet:
        click.echo(f"Using default tag: {wanted.tagged().tag}")
    if not quiet:
        click.echo(f"The push refers to repository [{wanted.name}]")
    lock = threading.Lock()

    def tell(subject: str, words: str) -> None:
        with lock:
            click.echo(f"{subject}: {words}")

    with shown(quiet=quiet) as progress:
        done = push.push(
            chosen_store(),
            wanted,
            every=every,
            platform=platforms.parse(platform) if platform else None,
            compress=compress,
            with_referrers=with_referrers,
            progress=progress,
            tell=untold if quiet else tell,
        )
    for image in done:
        if quiet:
            click.echo(image.name.canonical)
            continue
        click.echo(f"{image.name.tag}: digest: {image.digest} size: {image.size}")
        if image.instead_of:
            click.echo(
                "\nNot all multiplatform-content is present and only the available "
                f"single-platform image was pushed\n{image.instead_of} -> {image.digest}"
            )
