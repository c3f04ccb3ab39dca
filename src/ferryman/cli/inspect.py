"""``ferry inspect``, and ``inspect`` of images, containers, networks and volumes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ferryman.cli.stores import container_store
from ferryman.errors import FerryError, ImageNotFound, InvalidReference, UsageError

if TYPE_CHECKING:
    from ferryman.cli.gotemplate import Template
    from ferryman.image.platform import Platform
    from ferryman.store.layout import Store

Description = dict[str, Any]
Finder = Callable[[str], Description]
_KINDS = ("container", "image", "network", "volume")


@click.command("inspect")
@click.option("-f", "--format", "form", metavar="FORMAT", help="Format output: 'json' or TEMPLATE")
@click.option("-s", "--size", is_flag=True, help="Display total file sizes of a container")
@click.option("--type", "kind", default="", metavar="TYPE", help="Return JSON for this type")
@click.option("--platform", metavar="OS/ARCH", help="Inspect this platform of the image")
@click.argument("names", nargs=-1, required=True, metavar="NAME|ID [NAME|ID...]")
@click.pass_context
def command(
    context: click.Context,
    form: str | None,
    size: bool,
    kind: str,
    platform: str | None,
    names: tuple[str, ...],
) -> int:
    """Display detailed information on containers, images, networks and volumes."""
    from ferryman.image import platform as platforms

    wanted = platforms.parse(platform) if platform else None
    if context.parent and context.parent.command.name in _KINDS:
        kind = context.parent.command.name
    elif platform:
        kind = "image"
    if kind and kind not in _KINDS:
        known = ", ".join(f'"{each}"' for each in _KINDS)
        raise UsageError(f'unknown type: "{kind}": must be one of {known}')
    return inspected(_finder(container_store(), kind, size=size, platform=wanted), names, form)


def inspected(look: Finder, names: Sequence[str], form: str | None) -> int:
    """Print what there is to be said of each name, as JSON or by a template."""
    template = _template(form) if form and form != "json" else None
    found: list[Description] = []
    texts: list[str] = []
    errors: list[str] = []
    for name in names:
        try:
            found.append(look(name))
            if template:
                texts.append(_applied(template, found[-1]))
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


def _finder(store: "Store", kind: str, *, size: bool, platform: "Platform | None") -> Finder:
    """Return what describes the object of a name: of one kind, or the first that there is."""

    def container(name: str) -> Description:
        from ferryman.operations.container_inspect import inspect

        return inspect(store, name, size=size)

    def image(name: str) -> Description:
        from ferryman.operations.inspect import inspect

        return inspect(store, name, platform)

    def network(name: str) -> Description:
        from ferryman.operations.network_inspect import inspect

        return inspect(store, name)

    def volume(name: str) -> Description:
        from ferryman.operations.volume_inspect import inspect

        return inspect(store, name)

    finders = {"container": container, "image": image, "network": network, "volume": volume}

    def whatever(name: str) -> Description:
        from ferryman.runtime.networks import NetworkNotFound
        from ferryman.runtime.record import ContainerNotFound
        from ferryman.runtime.volumes import VolumeNotFound

        missing = (ContainerNotFound, NetworkNotFound, VolumeNotFound)
        for what, look in finders.items():
            try:
                found = look(name)
            except (*missing, ImageNotFound, InvalidReference):
                continue
            if size and what != "container":
                click.echo(f"WARNING: --size ignored for {what}", err=True)
            return found
        raise ImageNotFound(f"No such object: {name}")

    return finders.get(kind, whatever)


def _template(form: str) -> "Template":
    from ferryman.cli.gotemplate import Template, TemplateSyntaxError

    try:
        return Template(form)
    except TemplateSyntaxError as e:
        e.exit_code = 64
        raise


def _applied(template: "Template", document: Description) -> str:
    """Apply a template to what docker knows of an object or, if that fails, to the JSON itself."""
    from ferryman.cli.gotemplate import TemplateError

    if "HostConfig" in document:
        from ferryman.cli.container_fields import CONTAINER as fields
    elif "IPAM" in document:
        from ferryman.cli.network_fields import NETWORK as fields
    elif "Mountpoint" in document:
        from ferryman.cli.network_fields import VOLUME as fields
    else:
        from ferryman.cli.image_fields import IMAGE as fields
    try:
        return template.render(fields(document))
    except TemplateError:
        return template.render(document)
