"""``ferry images``, ``ferry image ls``."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.stores import chosen_store
from ferryman.cli.table import rendered
from ferryman.cli.units import human_duration, human_size

if TYPE_CHECKING:
    from ferryman.operations.listing import Row

_HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_TABLE = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
_WITH_DIGESTS = (
    "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
)


@click.command("images")
@click.option(
    "-a", "--all", "every", is_flag=True, help="Show all images (there are no hidden ones)"
)
@click.option("--digests", is_flag=True, help="Show digests")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Show what matches"
)
@click.option(
    "--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or TEMPLATE"
)
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only show image IDs")
@click.argument("pattern", required=False, metavar="[REPOSITORY[:TAG]]")
def command(
    every: bool,
    digests: bool,
    filters: tuple[str, ...],
    form: str | None,
    no_trunc: bool,
    quiet: bool,
    pattern: str | None,
) -> None:
    """List images."""
    from ferryman.operations.listing import listed

    del every
    store = chosen_store()
    rows = listed(store, references=[pattern] if pattern else [], filters=filters)
    if not form or form == "table":
        form = "{{.ID}}" if quiet else _WITH_DIGESTS if digests else _TABLE
    now = time.time()
    fields = [_fields(row, no_trunc=no_trunc, now=now) for row in rows]
    for line in rendered(form, fields, _HEADERS):
        click.echo(line)


def _fields(row: "Row", *, no_trunc: bool, now: float) -> dict[str, Any]:
    created = row.image.config.created_at
    size = human_size(row.size)
    return {
        "ID": str(row.image.id) if no_trunc else row.image.id.short,
        "Repository": row.name.familiar_name if row.name else "<none>",
        "Tag": (row.name.tag if row.name else None) or "<none>",
        "Digest": str(row.image.digest),
        "CreatedSince": since(created, now),
        "CreatedAt": moment(created),
        "Size": size,
        "VirtualSize": size,
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": "N/A",
    }


def since(created: float, now: float) -> str:
    """Write how long ago something was made."""
    return f"{human_duration(max(0.0, now - created))} ago" if created else "N/A"


def moment(created: float) -> str:
    """Write a time as Go prints it, in the local zone."""
    local = datetime.fromtimestamp(created).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S %z %Z") if created else "N/A"
