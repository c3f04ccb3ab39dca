"""``ferry ps``, ``ferry container ls``."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.images import moment, since
from ferryman.cli.stores import container_store
from ferryman.cli.table import rendered, shortened
from ferryman.cli.units import human_duration, human_size
from ferryman.image.config import seconds

if TYPE_CHECKING:
    from ferryman.operations.container_listing import Row
    from ferryman.runtime.settings import PortBinding
    from ferryman.store.layout import Store

_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
}
_COLUMNS = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


@click.command("ps")
@click.option("-a", "--all", "every", is_flag=True, help="Show all containers, not only running")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="What matches")
@click.option(
    "--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or TEMPLATE"
)
@click.option("-n", "--last", type=int, default=-1, metavar="N", help="The N created last")
@click.option("-l", "--latest", is_flag=True, help="Show the container created last")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only display container IDs")
@click.option("-s", "--size", is_flag=True, help="Display total file sizes")
def command(
    every: bool,
    filters: tuple[str, ...],
    form: str | None,
    last: int,
    latest: bool,
    no_trunc: bool,
    quiet: bool,
    size: bool,
) -> None:
    """List containers."""
    from ferryman.operations.container_listing import listed

    store = container_store()
    rows = listed(store, every=every, last=1 if latest else max(0, last), filters=filters)
    if not form or form == "table":
        form = "{{.ID}}" if quiet else f"table {_COLUMNS}"
        if size and not quiet:
            form += "\t{{.Size}}"
    # Adding up files takes time: only where it is shown.
    sized = size or ".Size" in form
    now = time.time()
    shown = [
        fields(row, no_trunc=no_trunc, now=now, size=_size(store, row) if sized else "")
        for row in rows
    ]
    for line in rendered(form, shown, _HEADERS, "*formatter.ContainerContext"):
        click.echo(line)


def _size(store: "Store", row: "Row") -> str:
    from ferryman.operations.container_size import container_size

    written, whole = container_size(store, row.container)
    return f"{human_size(written)} (virtual {human_size(whole)})"


def fields(row: "Row", *, no_trunc: bool, now: float, size: str) -> dict[str, Any]:
    """Return what a template may ask of a container; `now` is in seconds since 1970."""
    from ferryman.operations.container_listing import status_words

    container, state = row
    command = " ".join(container.command)
    if not no_trunc:
        command = shortened(command, _COMMAND_WIDTH)
    mounts = [mount.name or mount.source for mount in container.mounts]
    if not no_trunc:
        mounts = [shortened(mount, _MOUNT_WIDTH) for mount in mounts]
    created = seconds(container.created)
    return {
        "ID": container.id if no_trunc else container.short,
        "Image": _image(container.image, no_trunc=no_trunc),
        "Command": f'"{command}"',
        "CreatedAt": moment(created),
        "RunningFor": since(created, now),
        "Status": status_words(state, lambda text: human_duration(max(0.0, now - seconds(text)))),
        "State": state.status,
        "Ports": published(state.ports, container.config.exposed_ports) if state.up else "",
        "Names": container.name,
        "Size": size,
        "Labels": ",".join(f"{k}={v}" for k, v in sorted(container.config.labels.items())),
        "Mounts": ",".join(mounts),
        "LocalVolumes": str(sum(mount.type == "volume" for mount in container.mounts)),
        "Networks": ",".join(container.in_networks),
    }


def _image(name: str, *, no_trunc: bool) -> str:
    bare = name.removeprefix("sha256:")
    is_id = len(bare) == 64 and all(c in "0123456789abcdef" for c in bare)
    return bare[:12] if is_id and not no_trunc else name


def published(
    ports: Mapping[str, list["PortBinding"]], exposed: Mapping[str, object] | None
) -> str:
    """Write ports as docker does: ``0.0.0.0:8000->8000/tcp, 53/udp``."""
    shown: list[str] = []
    for port in sorted({*ports, *(exposed or {})}, key=_port_order):
        bindings = ports.get(port, [])
        for binding in bindings:
            address = binding.host_ip or "0.0.0.0"
            address = f"[{address}]" if ":" in address else address
            shown.append(f"{address}:{binding.host_port}->{port}")
        if not bindings:
            shown.append(port)
    return ", ".join(shown)


def _port_order(port: str) -> tuple[str, int]:
    number, _, protocol = port.partition("/")
    return protocol, int(number) if number.isdigit() else 0
