"""``ferry verify``."""

import click

from ferryman.cli.progress import shown


@click.command("verify")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what is wrong")
@click.option(
    "--verify", "key", metavar="KEY", help="Check the signature, too, by a public key of minisign"
)
@click.option(
    "--identity", "identities", multiple=True, metavar="FILE", help="A key of age to decrypt it"
)
@click.argument("paths", nargs=-1, required=True, metavar="FILE [FILE...]")
def command(
    quiet: bool, key: str | None, identities: tuple[str, ...], paths: tuple[str, ...]
) -> None:
    """Check archives, whole or in volumes, without loading them."""
    from ferryman.archive.bases import listed
    from ferryman.archive.volumes import grouped
    from ferryman.operations.input import opened
    from ferryman.operations.verify import verify

    for group in grouped(paths):
        with (
            opened(group, identities=identities, key=key) as (given, what),
            shown(quiet=quiet) as progress,
        ):
            report = verify(given, what, progress=progress)
        if quiet:
            continue
        for image in report.images:
            names = ", ".join(name.familiar for name in image.names) or "<none>"
            platforms = ", ".join(map(str, image.platforms))
            missing = f", {image.missing} not in it" if image.missing else ""
            click.echo(f"{names}\t{image.id}\t{platforms}\t{image.layers} layers{missing}")
        needs = f", on top of {listed(report.bases)}" if report.bases else ""
        click.echo(f"Verified {what}{needs}")
