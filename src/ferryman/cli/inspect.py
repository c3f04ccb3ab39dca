"""``ferry inspect``, ``ferry image inspect``."""

from typing import TYPE_CHECKING, Any

import click
import msgspec

from ferryman.cli.stores import chosen_store
from ferryman.errors import FerryError, ImageNotFound

if TYPE_CHECKING:
    from ferryman.cli.gotemplate import Template


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
    template = _template(form) if form and form != "json" else None
    store = chosen_store()
    found: list[dict[str, Any]] = []
    texts: list[str] = []
    errors: list[str] = []
    for name in names:
        try:
            found.append(inspect(store, name, wanted))
            if template:
                texts.append(_applied(template, found[-1]))
        except ImageNotFound as e:
            of_image = kind or (context.parent and context.parent.command.name == "image")
            errors.append(str(e) if of_image or wanted else f"No such object: {name}")
        except FerryError as e:
            errors.append(str(e))
    if template:
        click.echo("\n".join(texts).encode(errors="surrogateescape"))
    elif form == "json" or not found:
        click.echo(msgspec.json.encode(found))
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=4))
    for error in errors:
        click.echo(f"Error: {error}", err=True)
    return 1 if errors else 0


def _template(form: str) -> "Template":
    from ferryman.cli.gotemplate import Template, TemplateSyntaxError

    try:
        return Template(form)
    except TemplateSyntaxError as e:
        e.exit_code = 64
        raise


def _applied(template: "Template", document: dict[str, Any]) -> str:
    """Apply a template to what docker knows of an image or, if that fails, to the JSON itself."""
    from ferryman.cli.gotemplate import TemplateError
    from ferryman.cli.image_fields import IMAGE

    try:
        return template.render(IMAGE(document))
    except TemplateError:
        return template.render(document)
