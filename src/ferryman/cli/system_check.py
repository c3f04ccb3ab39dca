"""``ferry system check``."""

import click

from ferryman.cli.image_prune import confirmed
from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.cli.units import human_size


@click.command("check")
@click.option("--verify", is_flag=True, help="Read every blob and compare its digest")
@click.option(
    "--repair", is_flag=True, help="Verify, say what would be removed, and remove it if confirmed"
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.option("-q", "--quiet", is_flag=True, help="Suppress the progress output")
def command(verify: bool, repair: bool, force: bool, quiet: bool) -> int:
    """Check that the store is whole."""
    from ferryman.operations import mountable
    from ferryman.operations.progress import counter
    from ferryman.store import check as checking

    store = chosen_store()
    with shown(quiet=quiet) as progress:
        report = checking.check(
            store,
            verify=verify or repair,
            advance=counter(progress, "store", "Verifying", 0),
        )
        damaged = mountable.damaged(store) if verify or repair else []
    for fault in report.faults:
        click.echo(fault.what)
    for path in damaged:
        click.echo(f"{path} is damaged: it is made anew when it is gone")
    if report.verified:
        click.echo(f"Verified {report.verified} blobs")
    if report.garbage:
        size = human_size(sum(report.garbage.values()))
        click.echo(f"{len(report.garbage)} blobs ({size}) belong to no image: see system prune")
    if not report.faults and not damaged:
        click.echo("The store is clean")
        return 0
    if not repair:
        click.echo("Run `ferry system check --repair` to see what can be done")
        return 1
    for fault in report.faults:
        if fault.blob:
            click.echo(f"Would remove blob {fault.blob}")
    for path in damaged:
        click.echo(f"Would remove {path}")
    for entry in checking.broken(store, report):
        click.echo(f"Would remove image {entry.name.familiar if entry.name else entry.digest}")
    if not force and not confirmed("WARNING! This will remove all of the above."):
        return 1
    mountable.discard(damaged)
    checking.repair(store, report)
    click.echo("Removed: what is left is whole")
    return 0
