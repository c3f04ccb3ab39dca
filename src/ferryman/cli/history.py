"""``ferry history``."""

import time
from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.images import moment, since
from ferryman.cli.stores import chosen_store
from ferryman.cli.table import rendered
from ferryman.cli.units import human_size
from ferryman.image.config import seconds

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
    rows = [_fields(step, human=human, no_trunc=no_trunc, now=now) for step in steps]
    for line in rendered(form, rows, _HEADERS):
        click.echo(line)


def _fields(step: "Step", *, human: bool, no_trunc: bool, now: float) -> dict[str, Any]:
    created = seconds(step.created)
    created_by = step.created_by.replace("\t", " ")
    if not no_trunc and len(created_by) > _WIDTH:
        created_by = created_by[: _WIDTH - 1] + "…"
    return {
        "ID": (str(step.id) if no_trunc else step.id.short) if step.id else "<missing>",
        "CreatedSince": since(created, now),
        "CreatedAt": moment(created),
        "CreatedBy": created_by,
        "Size": human_size(step.size) if human else str(step.size),
        "Comment": step.comment,
    }
