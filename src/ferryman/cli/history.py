"""``ferry history``."""

import time
from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.images import local, since
from ferryman.cli.stores import chosen_store
from ferryman.cli.table import rendered, shortened
from ferryman.cli.units import human_size
from ferryman.image.config import moment

if TYPE_CHECKING:
    from ferryman.operations.history import Step

_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_WIDTH = 45


@click.command("history")
@click.option(
    "--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or TEMPLATE"
)
@click.option(
    "-H", "--human/--no-human", default=True, help="Print sizes and dates in human readable format"
)
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only show image IDs")
@click.option("--platform", metavar="OS/ARCH", help="Show the history of this platform")
@click.argument("name", metavar="IMAGE")
def command(
    form: str | None, human: bool, no_trunc: bool, quiet: bool, platform: str | None, name: str
) -> None:
    """Show the history of an image."""
    from ferryman.image import platform as platforms
    from ferryman.operations.history import history

    wanted = platforms.parse(platform) if platform else None
    steps = history(chosen_store(), name, wanted)
    if not form or form == "table":
        created = "{{.CreatedSince}}" if human else "{{.CreatedAt}}"
        form = f"table {{{{.ID}}}}\t{created}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}"
        if quiet:
            form = "{{.ID}}"
    now = time.time()
    rows = [_fields(step, now, human=human, no_trunc=no_trunc) for step in steps]
    for line in rendered(form, rows, _HEADERS, "*image.historyContext"):
        click.echo(line)


def _fields(step: "Step", now: float, *, human: bool, no_trunc: bool) -> dict[str, Any]:
    created = moment(step.created)
    created_at = local(created).isoformat().replace("+00:00", "Z")
    created_since = since(created, now) if created > 0 else "N/A"
    created_by = step.created_by.replace("\t", " ")
    return {
        "ID": (str(step.id) if no_trunc else step.id.short) if step.id else "<missing>",
        "CreatedSince": created_since if human else created_at,
        "CreatedAt": created_at,
        "CreatedBy": created_by if no_trunc else shortened(created_by, _WIDTH),
        "Size": human_size(step.size) if human else str(step.size),
        "Comment": step.comment,
    }
