"""``ferry load``."""

import os
import stat
import sys

import click

from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.cli.units import human_size
from ferryman.errors import UsageError


@click.command("load")
@click.option(
    "-i",
    "--input",
    "paths",
    multiple=True,
    metavar="FILE",
    help="Read from a file, a folder or volumes, not stdin",
)
@click.option("-q", "--quiet", is_flag=True, help="Suppress the progress output")
@click.option("--platform", metavar="OS/ARCH", help="Load only the given platform")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name the image here")
@click.option("--no-clobber", is_flag=True, help="Keep a name that is in use")
@click.option(
    "--list", "--dry-run", "listing", is_flag=True, help="Say what is in it, load nothing"
)
@click.option(
    "--verify", "key", metavar="KEY", help="Only if it is signed with this public key of minisign"
)
@click.option(
    "--identity", "identities", multiple=True, metavar="FILE", help="A key of age to decrypt it"
)
@click.argument("names", nargs=-1, metavar="[IMAGE...]")
def command(
    paths: tuple[str, ...],
    quiet: bool,
    platform: str | None,
    tags: tuple[str, ...],
    no_clobber: bool,
    listing: bool,
    key: str | None,
    identities: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    """Load images from an archive (a file, a folder, its volumes or stdin).

    With names or IDs, only those images of the archive.
    """
    from ferryman.image import platform as platforms
    from ferryman.operations import load
    from ferryman.operations.input import opened

    wanted = platforms.parse(platform) if platform else None
    paths = tuple(path for path in paths if path)
    if not paths:
        _check_stdin()
    store = chosen_store()
    with (
        opened(paths, identities=identities, key=key) as (given, what),
        shown(quiet=quiet) as progress,
    ):
        if listing:
            offers = load.offered(
                store, given, what, only=names, platform=wanted, progress=progress
            )
            done = []
        else:
            done = load.load(
                store,
                given,
                what,
                only=names,
                tags=tags,
                clobber=not no_clobber,
                platform=wanted,
                progress=progress,
            )
            offers = []
    for offer in offers:
        _list(offer)
    for image in done:
        tell(image)


def _check_stdin() -> None:
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        raise UsageError("requested load from stdin, but stdin is closed") from None
    if sys.stdin.isatty() or stat.S_ISCHR(mode):
        raise UsageError("requested load from stdin, but stdin is empty: use -i FILE, or a pipe")


def tell(image: "load.Loaded") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Say what was loaded, as docker does."""
    if image.name is None:
        click.echo(f"Loaded image ID: {image.id}")
        return
    name = image.name.familiar
    if image.kept:
        click.echo(f"The image {name} already exists, keeping it: loaded image ID: {image.id}")
        return
    if image.renamed:
        click.echo(
            f"The image {name} already exists, renaming the old one with ID {image.renamed} "
            "to empty string"
        )
    click.echo(f"Loaded image: {name}")


def _list(offer: "load.Offered") -> None:  # type: ignore[name-defined]  # noqa: F821
    names = ", ".join(name.familiar for name in offer.names) or "<none>"
    platforms = ", ".join(str(platform) for platform in dict.fromkeys(offer.platforms))
    missing = f", {offer.missing} missing" if offer.missing else ""
    click.echo(
        f"{names}\t{offer.id}\t{platforms}\t{offer.layers} layers, {human_size(offer.size)}; "
        f"new here: {offer.new_layers} layers, {human_size(offer.new_size)}{missing}"
    )
