"""``ferry pull``, ``ferry image pull``."""

import click

from ferryman.cli.flags import referrers
from ferryman.cli.pulling import pulled
from ferryman.cli.stores import chosen_store
from ferryman.errors import UsageError


@click.command("pull")
@click.option("-a", "--all-tags", "every", is_flag=True, help="Download all tags of the repository")
@click.option("--platform", default="", metavar="OS/ARCH", help="The platform to be pulled")
@referrers.with_referrers
@click.option("-q", "--quiet", is_flag=True, help="Suppress verbose output")
@click.option(
    "--disable-content-trust/--no-disable-content-trust",
    default=True,
    hidden=True,
    help="Taken for docker's sake; says nothing",
)
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
def command(
    every: bool,
    platform: str,
    with_referrers: bool,
    quiet: bool,
    disable_content_trust: bool,
    name: str,
) -> None:
    """Download an image from a registry."""
    from ferryman.image import platform as platforms
    from ferryman.image import reference

    del disable_content_trust
    wanted = reference.parse(name)
    if every and (wanted.tag or wanted.digest):
        raise UsageError("tag can't be used with --all-tags/-a")
    if not every and wanted.tagged() != wanted and not quiet:
        click.echo(f"Using default tag: {wanted.tagged().tag}")
    pulled(
        chosen_store(),
        wanted,
        platform=platforms.parse(platform) if platform else None,
        every=every,
        with_referrers=with_referrers,
        quiet=quiet,
    )
    click.echo(wanted.canonical if every else wanted.tagged().canonical)
