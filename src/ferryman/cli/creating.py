"""What ``run`` and ``create`` have in common: the container that is asked for, made."""

import os
from typing import TYPE_CHECKING

import click

from ferryman.errors import FerryError, ImageNotFound, InvalidFlag

if TYPE_CHECKING:
    from ferryman.cli.run_flags import Requested
    from ferryman.runtime.record import Container
    from ferryman.store.layout import Store


class CannotRun(FerryError):
    """A container that cannot be made or started; docker's client exits with 125 then."""

    exit_code = 125


def created(store: "Store", requested: "Requested") -> "Container":
    """Make the container that was asked for, and tell what the user should know of it.

    Raises CannotRun, InvalidFlag.
    """
    from ferryman.image import platform as platforms
    from ferryman.operations.create import create

    id_file = requested.host_config.container_id_file
    if id_file and os.path.exists(id_file):
        raise CannotRun(
            f"container ID file found, make sure the other container isn't running or delete "
            f"{id_file}"
        )
    if requested.pull == "always":
        raise InvalidFlag("ferry cannot pull yet: load or import the image, without --pull=always")
    try:
        container = create(
            store,
            requested.image,
            requested.config,
            requested.host_config,
            name=requested.name or None,
            networks_wanted=requested.networks,
            platform=platforms.parse(requested.platform) if requested.platform else None,
            storage=requested.storage,
            warn=_warn,
        )
    except ImageNotFound as e:
        raise CannotRun(
            f"{e}: it is not here, and ferry cannot pull yet: load or import it first"
        ) from None
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
