"""``ferry volume ls``."""

from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.stores import container_store
from ferryman.cli.table import rendered

if TYPE_CHECKING:
    from ferryman.runtime.volumes import Volume
    from ferryman.store.layout import Store

_HEADERS = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Availability": "AVAILABILITY",
    "Group": "GROUP",
    "Status": "STATUS",
}


@click.command("ls")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="What matches")
@click.option(
    "--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or TEMPLATE"
)
@click.option("-q", "--quiet", is_flag=True, help="Only display volume names")
def command(filters: tuple[str, ...], form: str | None, quiet: bool) -> None:
    """List volumes."""
    from ferryman.operations.volume_listing import listed

    store = container_store()
    if not form or form == "table":
        form = "{{.Name}}" if quiet else "table {{.Driver}}\t{{.Name}}"
    rows = [fields(store, volume) for volume in listed(store, filters)]
    for line in rendered(form, rows, _HEADERS, "*formatter.volumeContext"):
        click.echo(line)


def fields(
    store: "Store", volume: "Volume", *, links: str = "N/A", size: str = "N/A"
) -> dict[str, Any]:
    """Return what a template may ask of a volume."""
    from ferryman.runtime import volumes

    return {
        "Name": volume.name,
        "Driver": volumes.DRIVER,
        "Scope": "local",
        "Mountpoint": volumes.data(store, volume.name),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(volume.labels.items())),
        "Links": links,
        "Size": size,
        # Of volumes of a cluster.
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    }
