"""``ferry stats``, ``ferry container stats``."""

from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.stores import container_store
from ferryman.cli.table import rendered
from ferryman.cli.units import binary_size, human_size

if TYPE_CHECKING:
    from ferryman.operations.stats import Sample

_HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_COLUMNS = "\t".join(f"{{{{.{name}}}}}" for name in list(_HEADERS)[1:])
_TOP, _END_OF_LINE, _REST = b"\x1b[H", b"\x1b[K", b"\x1b[J"


@click.command("stats")
@click.option("-a", "--all", "every", is_flag=True, help="Show all containers, not only running")
@click.option(
    "--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or TEMPLATE"
)
@click.option("--no-stream", is_flag=True, help="Only show the first result")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.argument("names", nargs=-1, metavar="[CONTAINER...]")
def command(
    every: bool, form: str | None, no_stream: bool, no_trunc: bool, names: tuple[str, ...]
) -> None:
    """Display a live stream of container(s) resource usage statistics."""
    from ferryman.operations.stats import stats
    from ferryman.store.durable import write_all

    if not form or form == "table":
        form = f"table {_COLUMNS}"
    for samples in stats(container_store(), names, every=every):
        rows = [_fields(sample, no_trunc=no_trunc) for sample in samples]
        lines = list(rendered(form, rows, _HEADERS, "*container.statsContext"))
        if no_stream:
            write_all(1, b"".join(line + b"\n" for line in lines))
            return
        # What was there is written over, in one go: it does not flicker.
        shown = b"".join(line + _END_OF_LINE + b"\n" for line in lines)
        write_all(1, _TOP + shown + _REST)


def _fields(sample: "Sample", *, no_trunc: bool) -> dict[str, Any]:
    used, container = sample.usage, sample.container
    share = 100 * used.memory / used.memory_limit if used.memory_limit else 0.0
    return {
        "Container": sample.asked,
        "ID": container.id if no_trunc else container.short,
        "Name": container.name,
        "CPUPerc": f"{sample.cpu_percent:.2f}%",
        "MemUsage": f"{binary_size(used.memory)} / {binary_size(used.memory_limit)}",
        "MemPerc": f"{share:.2f}%",
        "NetIO": f"{human_size(used.received)} / {human_size(used.sent)}",
        "BlockIO": f"{human_size(used.read)} / {human_size(used.written)}",
        "PIDs": str(used.processes),
    }
