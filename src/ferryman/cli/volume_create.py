"""``ferry volume create``."""

import click

from ferryman.cli.flags import variables
from ferryman.cli.flags.grammar import Value
from ferryman.cli.stores import container_store
from ferryman.errors import UsageError

_LABEL = Value(variables.label, "list")


@click.command("create")
@click.option("-d", "--driver", default="local", metavar="DRIVER", help='Only "local"')
@click.option("--label", "labels", type=_LABEL, multiple=True, metavar="KEY=VALUE", help="A label")
@click.option("--name", "named", default="", hidden=True)
@click.option(
    "-o",
    "--opt",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="type, device and o: what to mount there, as of mount(8)",
)
@click.argument("name", default="", metavar="[VOLUME]")
def command(
    driver: str, labels: tuple[str, ...], named: str, options: tuple[str, ...], name: str
) -> None:
    """Create a volume."""
    from ferryman.runtime.volumes import create

    if named and name:
        raise UsageError(
            "conflicting options: cannot specify a volume-name through both --name and as a "
            "positional arg"
        )
    volume = create(
        container_store(),
        name or named,
        labels=variables.pairs(labels),
        options=variables.pairs(options),
        driver=driver,
    )
    click.echo(volume.name)
