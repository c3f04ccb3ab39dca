"""``ferry inspect``, ``ferry image inspect``."""

from typing import Any

import click
import msgspec

from ferryman.cli.gotemplate import Template
from ferryman.cli.stores import chosen_store
from ferryman.errors import FerryError, ImageNotFound


@click.command("inspect")
@click.option("-f", "--format", "form", metavar="FORMAT", help="Format output: 'json' or TEMPLATE")
@click.option("--type", "kind", type=click.Choice(["image"]), help="Return JSON for this type")
@click.option("--platform", metavar="OS/ARCH", help="Inspect this platform of the image")
@click.argument("names", nargs=-1, required=True, metavar="NAME|ID [NAME|ID...]")
@click.pass_context
def command(
    context: click.Context,
    form: str | None,
    kind: str | None,
    platform: str | None,
    names: tuple[str, ...],
) -> int:
    """Display detailed information on one or more images."""
    from ferryman.image import platform as platforms
    from ferryman.operations.inspect import inspect

    wanted = platforms.parse(platform) if platform else None
    store = chosen_store()
    template = Template(form) if form and form != "json" else None
    found: list[dict[str, Any]] = []
    errors: list[str] = []
    for name in names:
        try:
            found.append(inspect(store, name, wanted))
        except ImageNotFound as e:
            of_image = kind or (context.parent and context.parent.command.name == "image")
            errors.append(str(e) if of_image or wanted else f"No such object: {name}")
        except FerryError as e:
            errors.append(str(e))
    if template:
        for each in found:
            click.echo(template.render(each))
    elif form == "json":
        click.echo(msgspec.json.encode(found))
    else:
        text = msgspec.json.encode(found)
        click.echo(msgspec.json.format(text, indent=4) if found else b"[]")
    for error in errors:
        click.echo(f"Error: {error}", err=True)
    return 1 if errors else 0
