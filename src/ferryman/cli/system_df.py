"""``ferry system df``."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.images import moment, since
from ferryman.cli.stores import container_store
from ferryman.cli.table import rendered
from ferryman.cli.units import human_size
from ferryman.image.config import moment as parsed

if TYPE_CHECKING:
    from ferryman.operations.system import ImageUsage, Total, Usage, VolumeUsage
    from ferryman.store.layout import Store

_TYPE = "*formatter.diskUsageImagesContext"
_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_IMAGES = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_CONTAINERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}
_VOLUMES = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
_CACHE = {
    "ID": "CACHE ID",
    "CacheType": "CACHE TYPE",
    "Size": "SIZE",
    "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE",
    "Shared": "SHARED",
}

Rows = list[dict[str, Any]]


@click.command("df")
@click.option("-v", "--verbose", is_flag=True, help="Show detailed information on space usage")
@click.option(
    "--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or TEMPLATE"
)
def command(verbose: bool, form: str | None) -> None:
    """Show how much disk the store takes."""
    from ferryman.operations.system import usage

    store = container_store()
    used = usage(store)
    if not verbose:
        if not form or form == "table":
            form = _table(_HEADERS)
        lines = list(rendered(form, _totals(used), _HEADERS, _TYPE))
    elif not form or form == "table":
        lines = _sections(store, used)
    else:
        lines = [_by_template(store, used, form).encode(errors="surrogateescape")]
    for line in lines:
        click.echo(line)


def _table(headers: dict[str, str]) -> str:
    return "table " + "\t".join(f"{{{{.{field}}}}}" for field in headers)


def _totals(used: "Usage") -> Rows:
    return [
        _total("Images", used.images),
        _total("Containers", used.containers),
        _total("Local Volumes", used.volumes),
        _total("Build Cache", used.build_cache, share=False),
        # What docker has not got, or does not count.
        _total("Mountable Layers", used.layers),
        _row("Unreferenced", "", "", used.garbage, human_size(used.garbage, 4)),
    ]


def _total(kind: str, total: "Total", *, share: bool = True) -> dict[str, Any]:
    percent = f" ({total.reclaimable * 100 // total.size}%)" if share and total.size else ""
    reclaimable = human_size(total.reclaimable, 4) + percent
    return _row(kind, str(total.number), str(total.active), total.size, reclaimable)


def _row(kind: str, count: str, active: str, size: int, reclaimable: str) -> dict[str, Any]:
    return {
        "Type": kind,
        "TotalCount": count,
        "Active": active,
        "Size": human_size(size, 4),
        "Reclaimable": reclaimable,
    }


def _sections(store: "Store", used: "Usage") -> list[bytes]:
    lines: list[bytes] = []
    for title, headers, rows in (
        ("Images space usage:", _IMAGES, _images(used.each_image, no_trunc=False)),
        ("Containers space usage:", _CONTAINERS, _containers(store, used, no_trunc=False)),
        ("Local Volumes space usage:", _VOLUMES, _volumes(store, used.each_volume)),
        (f"Build cache usage: {human_size(used.build_cache.size, 4)}", _CACHE, []),
    ):
        lines += [b""] if lines else []
        lines += [title.encode(), b"", *rendered(_table(headers), rows, headers)]
    return lines


def _by_template(store: "Store", used: "Usage", form: str) -> str:
    from ferryman.cli.gotemplate import Struct, Template
    from ferryman.cli.gotemplate.value import Slice

    def structs(type: str, rows: Rows) -> Slice:
        raw = [{key: row[key] for key in sorted(row)} for row in rows]
        return Slice([Struct(type, row, row, escaped=True) for row in raw], raw)

    fields = {
        "Images": structs("*formatter.imageContext", _images(used.each_image, no_trunc=True)),
        "Containers": structs(
            "*formatter.ContainerContext", _containers(store, used, no_trunc=True)
        ),
        "Volumes": structs("*formatter.volumeContext", _volumes(store, used.each_volume)),
        "BuildCache": structs("*formatter.buildCacheContext", []),
    }
    raw = {key: each.raw for key, each in fields.items()}
    source = "{{json .}}" if form == "json" else form.removeprefix("table").strip(" ")
    template = Template(source.replace("\\t", "\t").replace("\\n", "\n"))
    return template.render(Struct("*formatter.diskUsageContext", fields, raw, escaped=True))


def _images(each_image: Sequence["ImageUsage"], *, no_trunc: bool) -> Rows:
    now = time.time()
    return [
        {
            "Repository": name.familiar_name if name else "<none>",
            "Tag": (name.tag if name else None) or "<none>",
            "ID": str(row.image.id) if no_trunc else row.image.id.short,
            "CreatedSince": since(parsed(row.image.config.created), now) or "N/A",
            "CreatedAt": moment(parsed(row.image.config.created)),
            "Digest": "",
            "Size": human_size(row.size, 4),
            "SharedSize": human_size(row.shared, 4),
            "UniqueSize": human_size(row.unique, 4),
            "VirtualSize": human_size(row.size, 4),
            "Containers": str(row.containers),
        }
        for row in each_image
        for name in (row.names or (None,))
    ]


def _containers(store: "Store", used: "Usage", *, no_trunc: bool) -> Rows:
    from ferryman.cli.ps import fields

    now = time.time()
    return [
        fields(each.row, no_trunc=no_trunc, now=now, size=human_size(each.size))
        for each in used.each_container
    ]


def _volumes(store: "Store", each_volume: Sequence["VolumeUsage"]) -> Rows:
    from ferryman.cli.volume_ls import fields

    return [
        fields(store, each.volume, links=str(each.links), size=human_size(each.size))
        for each in each_volume
    ]
