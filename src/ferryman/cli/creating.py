"""What ``run`` and ``create`` have in common: the container that is asked for, made."""

import os
import sys
from typing import TYPE_CHECKING

import click

from ferryman.errors import FerryError, ImageNotFound

if TYPE_CHECKING:
    from ferryman.cli.run_flags import Requested
    from ferryman.runtime.record import Container
    from ferryman.store.layout import Store


class CannotRun(FerryError):
    """A container that cannot be made or started; docker's client exits with 125 then."""

    exit_code = 125


def created(store: "Store", requested: "Requested") -> "Container":
    """Make the container that was asked for, and tell what the user should know of it.

    Its image is pulled if it is not here, or always, or never: as was asked.  Raises CannotRun,
    InvalidFlag.
    """
    from ferryman.cli.pulling import pulled
    from ferryman.image import platform as platforms
    from ferryman.image import reference
    from ferryman.operations.create import create

    id_file = requested.host_config.container_id_file
    if id_file and os.path.exists(id_file):
        raise CannotRun(
            f"container ID file found, make sure the other container isn't running or delete "
            f"{id_file}"
        )
    platform = platforms.parse(requested.platform) if requested.platform else None

    def made() -> "Container":
        return create(
            store,
            requested.image,
            requested.config,
            requested.host_config,
            name=requested.name or None,
            networks_wanted=requested.networks,
            platform=platform,
            storage=requested.storage,
            warn=_warn,
        )

    def pull() -> None:
        name = reference.parse(requested.image)
        pulled(store, name, platform=platform, quiet=requested.quiet, on=sys.stderr)

    try:
        if requested.pull == "always":
            pull()
        try:
            container = made()
        except ImageNotFound:
            if requested.pull != "missing" or not _may_be_elsewhere(requested.image):
                raise
            if not requested.quiet:
                name = reference.parse(requested.image).tagged()
                click.echo(f"Unable to find image '{name.familiar}' locally", err=True)
            pull()
            container = made()
    except FerryError as e:
        raise _as_run(e) from None
    if id_file:
        try:
            with open(id_file, "x", encoding="ascii") as f:
                f.write(container.id)
        except OSError as e:
            raise CannotRun(
                f"failed to create the container ID file: open {id_file}: {e.strerror}"
            ) from None
    return container


def _may_be_elsewhere(image: str) -> bool:
    """Tell whether an image is named, and not meant by its ID."""
    from ferryman.errors import InvalidReference
    from ferryman.image import reference

    try:
        return reference.parse(image).path != "library/sha256"
    except InvalidReference:
        return False


def _warn(warning: str) -> None:
    click.echo(f"WARNING: {warning}", err=True)


def _as_run(error: FerryError) -> FerryError:
    return error if error.exit_code > CannotRun.exit_code else CannotRun(str(error))


def not_started(store: "Store", container: "Container", error: FerryError) -> FerryError:
    """Return the error for a container that did not start; one to be removed at its end goes."""
    from ferryman.operations.container_remove import remove

    if container.host_config.auto_remove:
        remove(store, container.id, force=True, with_volumes=True)
    return _as_run(error)
