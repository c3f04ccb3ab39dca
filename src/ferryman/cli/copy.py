"""``ferry copy``."""

import sys

import click

from ferryman.cli.copying import flags, written
from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store


@click.command("copy")
@flags
@click.option("--digestfile", metavar="FILE", help="Write the digest of what was copied to a file")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
def command(
    every: bool,
    platform: str,
    compress: str,
    preserve_digests: bool,
    quiet: bool,
    digestfile: str | None,
    source: str,
    destination: str,
) -> None:
    """Copy an image from one place to another, and print the digest that it has there.

    SRC and DST are docker://NAME, docker-archive:FILE[:NAME], oci-archive:FILE[:NAME],
    oci:FOLDER[:NAME], dir:FOLDER, docker-daemon:NAME:TAG, containers-storage:NAME, ferry:NAME
    (the store), ssh://HOST/NAME or s3://BUCKET/PREFIX[:NAME].
    """
    from ferryman.operations import copy

    options = copy.options(every, platform, compress, preserve_digests)
    origin, target = copy.parse(source), copy.parse(destination)
    with shown(quiet=quiet, on=sys.stderr) as progress:
        done = copy.copy(copy.means(chosen_store, progress), origin, target, options)
    if digestfile:
        written(digestfile, done.target.digest)
    # An archive may go to standard output itself.
    if not quiet and not target.reference.startswith("/dev/stdout"):
        click.echo(done.target.digest)
