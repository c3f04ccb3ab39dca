"""``ferry export``, ``ferry container export``."""

import sys

import click

from ferryman.cli.stores import container_store
from ferryman.errors import UsageError


@click.command("export")
@click.option("-o", "--output", "path", metavar="FILE", help="Write to a file, instead of STDOUT")
@click.option(
    "--with-config",
    is_flag=True,
    help="Write the settings beside the file, for import --config-from",
)
@click.argument("name", metavar="CONTAINER")
def command(path: str | None, with_config: bool, name: str) -> None:
    """Export a container's filesystem as a tar archive."""
    from ferryman.operations.export import export, settings
    from ferryman.operations.output import replacing

    if path is None and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if with_config and path is None:
        raise UsageError("--with-config writes a file beside the archive: use the -o flag")
    store = container_store()
    if path is None:
        export(store, name, sys.stdout.fileno())
        return
    beside = settings(store, name)
    with replacing(path, "failed to export container") as fd:
        export(store, name, fd)
    if with_config:
        from ferryman.store.durable import write_all

        with replacing(f"{path}.config.json", "failed to export container") as fd:
            write_all(fd, beside)
