"""``ferry images``, ``ferry image ls``."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.stores import chosen_store
from ferryman.cli.table import rendered
from ferryman.cli.units import human_duration, human_size
from ferryman.image.config import NEVER
from ferryman.image.config import moment as parsed

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
_RAW = """\
repository: {{.Repository}}
tag: {{.Tag}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
"""


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
@click.pass_context
def command(
    context: click.Context,
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
    form = form or "table"
    # docker's own table says that it does not know; its templates leave it to their authors.
    unknown = "N/A" if form == "table" else ""
    form = _form(form, quiet=quiet, digests=digests)
    digests = digests or "{{.Digest}}" in form
    now = time.time()
    fields = [_fields(row, now, unknown, no_trunc=no_trunc, digests=digests) for row in rows]
    for line in rendered(form, fields, _HEADERS, "*formatter.imageContext"):
        click.echo(line)
    if pattern and not rows and context.info_name == "images":
        _hint(context, pattern)


def _form(form: str, *, quiet: bool, digests: bool) -> str:
    if form == "table":
        if quiet:
            return "{{.ID}}"
        columns = ["Repository", "Tag", *["Digest"] * digests, "ID", "CreatedSince", "Size"]
        return "table " + "\t".join(f"{{{{.{column}}}}}" for column in columns)
    if form == "raw":
        if quiet:
            return "image_id: {{.ID}}"
        return _RAW.replace("image_id", "digest: {{.Digest}}\nimage_id") if digests else _RAW
    if form.startswith("table") and digests and "{{.Digest}}" not in form:
        return form + "\t{{.Digest}}"
    return form


def _fields(
    row: "Row", now: float, unknown: str, *, no_trunc: bool, digests: bool
) -> dict[str, Any]:
    created = parsed(row.image.config.created)
    size = human_size(row.size)
    return {
        "ID": str(row.image.id) if no_trunc else row.image.id.short,
        "Repository": row.name.familiar_name if row.name else "<none>",
        "Tag": (row.name.tag if row.name else None) or "<none>",
        # As docker: only where somebody asks for it.
        "Digest": str(row.image.digest_of(row.name)) if row.name and digests else "<none>",
        "CreatedSince": since(created, now) or unknown,
        "CreatedAt": moment(created),
        "Size": size,
        "VirtualSize": size,
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": "N/A",
    }


def _hint(context: click.Context, pattern: str) -> None:
    """Tell those who type ``ferry images ls`` what they may have meant."""
    from ferryman.cli.image import command as image

    if image.get_command(context, pattern):
        meant = f'did you mean "ferry image {pattern}"?'
        click.echo(f'\nNo images found matching "{pattern}": {meant}', err=True)


def since(created: float, now: float) -> str:
    """Write how long ago something was made; nothing where that is not known."""
    return "" if created == NEVER else f"{human_duration(max(0.0, now - int(created)))} ago"


def moment(created: float) -> str:
    """Write a time as Go prints it, in the local zone."""
    when = local(created)
    return f"{when.replace(tzinfo=None)} {when:%z %Z}"


def local(created: float) -> datetime:
    """Return a time in seconds since 1970 in the local zone, without its fraction."""
    try:
        return datetime.fromtimestamp(int(created)).astimezone()
    except (OverflowError, ValueError):
        # At the edges of what Python counts.
        return datetime.fromtimestamp(int(created), UTC)
