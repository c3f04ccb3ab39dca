"""``ferry system``: the store as a whole."""

import click

from ferryman.cli.image_prune import confirmed, prune_images
from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.cli.table import rendered
from ferryman.cli.units import human_size


@click.group("system")
def command() -> None:
    """Manage the store."""


_TYPE = "*formatter.diskUsageImagesContext"
_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_TABLE = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
_VERBOSE_HEADERS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
_VERBOSE = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}"


@command.command("df")
@click.option("-v", "--verbose", is_flag=True, help="Show detailed information on space usage")
@click.option(
    "--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or TEMPLATE"
)
def df(verbose: bool, form: str | None) -> None:
    """Show how much disk the store takes."""
    from ferryman.operations.system import usage

    if not form or form == "table":
        form = _VERBOSE if verbose else _TABLE
    used = usage(chosen_store())
    if verbose:
        rows = [
            {
                "Repository": name.familiar_name if name else "<none>",
                "Tag": (name.tag if name else None) or "<none>",
                "ID": row.image.id.short,
                "Size": human_size(row.size, 4),
                "SharedSize": human_size(row.shared, 4),
                "UniqueSize": human_size(row.unique, 4),
            }
            for row in used.images
            for name in (row.names or (None,))
        ]
        lines = rendered(form, rows, _VERBOSE_HEADERS, _TYPE)
    else:
        share = f" ({used.reclaimable * 100 // used.total}%)" if used.total else ""
        rows = [
            {
                "Type": "Images",
                "TotalCount": str(len(used.images)),
                "Active": str(used.active),
                "Size": human_size(used.total, 4),
                "Reclaimable": human_size(used.reclaimable, 4) + share,
            },
            {
                "Type": "Unreferenced",
                "TotalCount": "",
                "Active": "",
                "Size": human_size(used.garbage, 4),
                "Reclaimable": human_size(used.garbage, 4),
            },
        ]
        lines = rendered(form, rows, _HEADERS, _TYPE)
    for line in lines:
        click.echo(line)


@command.command("check")
@click.option("--verify", is_flag=True, help="Read every blob and compare its digest")
@click.option(
    "--repair", is_flag=True, help="Verify, say what would be removed, and remove it if confirmed"
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.option("-q", "--quiet", is_flag=True, help="Suppress the progress output")
def check(verify: bool, repair: bool, force: bool, quiet: bool) -> int:
    """Check that the store is whole."""
    from ferryman.operations.progress import counter
    from ferryman.store import check as checking

    store = chosen_store()
    with shown(quiet=quiet) as progress:
        report = checking.check(
            store,
            verify=verify or repair,
            advance=counter(progress, "store", "Verifying", 0),
        )
    for fault in report.faults:
        click.echo(fault.what)
    if report.verified:
        click.echo(f"Verified {report.verified} blobs")
    if report.garbage:
        size = human_size(sum(report.garbage.values()))
        click.echo(f"{len(report.garbage)} blobs ({size}) belong to no image: see system prune")
    if not report.faults:
        click.echo("The store is clean")
        return 0
    if not repair:
        click.echo("Run `ferry system check --repair` to see what can be done")
        return 1
    for fault in report.faults:
        if fault.blob:
            click.echo(f"Would remove blob {fault.blob}")
    for entry in checking.broken(store, report):
        click.echo(f"Would remove image {entry.name.familiar if entry.name else entry.digest}")
    if not force and not confirmed("WARNING! This will remove all of the above."):
        return 1
    checking.repair(store, report)
    click.echo("Removed: what is left is whole")
    return 0


@command.command("prune")
@click.option(
    "-a", "--all", "every", is_flag=True, help="Remove all images, not just dangling ones"
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
def prune(every: bool, force: bool) -> None:
    """Remove images without a name and everything that belongs to no image."""
    warning = (
        "WARNING! This will remove:\n"
        f"  - {'all images' if every else 'all dangling images'}\n"
        "  - all blobs and unfinished files that belong to no image\n"
    )
    if force or confirmed(warning):
        prune_images(every=every)
