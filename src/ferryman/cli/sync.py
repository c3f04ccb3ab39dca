"""``ferry sync``."""

import sys
from typing import TYPE_CHECKING

import click

from ferryman.cli.copying import flags
from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store

if TYPE_CHECKING:
    from ferryman.operations.sync import Job


@click.command("sync")
@flags
@click.option("--scoped", is_flag=True, help="Keep the whole names of images at the destination")
@click.option("--dry-run", is_flag=True, help="Only show what would be copied")
@click.argument("file", metavar="FILE")
@click.argument("destination", metavar="[DST]", required=False, default="")
def command(
    every: bool,
    platform: str,
    compress: str,
    preserve_digests: bool,
    quiet: bool,
    scoped: bool,
    dry_run: bool,
    file: str,
    destination: str,
) -> int:
    """Copy all images of a list, each blob once; one that fails does not stop the others.

    FILE is YAML: what skopeo sync reads, a list of "SRC DST" or of images, or a compose file.
    DST is where images without a destination go: docker://HOST/PATH, oci:FOLDER, dir:FOLDER,
    s3://BUCKET/PREFIX, ssh://HOST, ferry:, docker-daemon: or containers-storage:.
    """
    from ferryman.operations import copy, sync

    options = copy.options(every, platform, compress, preserve_digests)
    jobs = sync.jobs(file, destination, scoped=scoped)
    failed = False
    if dry_run:
        for job in jobs:
            failed |= bool(job.error)
            click.echo(f"Error: {job.error}" if job.error else _arrow(job), err=bool(job.error))
        return int(failed)
    with shown(quiet=quiet, on=sys.stderr) as progress:
        for done in sync.sync(copy.means(chosen_store, progress), jobs, options):
            if done.copied is None:
                failed = True
                click.echo(f"Error: {done.job.source}: {done.error}", err=True)
            elif not quiet:
                click.echo(f"{_arrow(done.job)}: {done.copied.target.digest}")
    return int(failed)


def _arrow(job: "Job") -> str:
    return f"{job.source} -> {job.destination}"
