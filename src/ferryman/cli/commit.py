"""``ferry commit``, ``ferry container commit``."""

import click

from ferryman.cli.stores import container_store
from ferryman.errors import UsageError


@click.command("commit")
@click.option("-a", "--author", default="", metavar="AUTHOR", help="Who made the image")
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply to the image"
)
@click.option("-m", "--message", default="", help="Commit message")
@click.option("-p", "--pause/--no-pause", default=True, help="Pause the container meanwhile")
@click.argument("container", metavar="CONTAINER")
@click.argument("name", required=False, metavar="[REPOSITORY[:TAG]]")
def command(
    author: str,
    changes: tuple[str, ...],
    message: str,
    pause: bool,
    container: str,
    name: str | None,
) -> None:
    """Create a new image from a container's changes."""
    from ferryman.image import reference
    from ferryman.operations.commit import commit

    named = reference.parse(name).tagged() if name else None
    if named and named.digest:
        raise UsageError("refusing to create a tag with a digest reference")
    image_id = commit(
        container_store(),
        container,
        name=named,
        author=author,
        message=message,
        changes=changes,
        pause=pause,
    )
    click.echo(image_id)
