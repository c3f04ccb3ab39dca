"""What ``pull`` says while it works; ``run``, ``create`` and ``build`` pull what is absent."""

import sys
import threading
from typing import TYPE_CHECKING, TextIO

import click

from ferryman.cli.progress import shown

if TYPE_CHECKING:
    from ferryman.image.platform import Platform
    from ferryman.image.reference import Reference
    from ferryman.operations.pull import Pulled
    from ferryman.store.layout import Store


def pulled(
    store: "Store",
    name: "Reference",
    *,
    platform: "Platform | None" = None,
    every: bool = False,
    with_referrers: bool = False,
    quiet: bool = False,
    on: TextIO | None = None,
) -> "list[Pulled]":
    """Pull, and tell what docker tells, on standard output or `on`.  Raises what `pull` raises."""
    from ferryman.operations import pull
    from ferryman.operations.progress import untold

    stream = on or sys.stdout
    lock = threading.Lock()

    def tell(subject: str, words: str) -> None:
        with lock:
            click.echo(f"{subject}: {words}", file=stream)

    with shown(quiet=quiet, on=stream) as progress:
        images = pull.pull(
            store,
            name,
            every=every,
            platform=platform,
            with_referrers=with_referrers,
            progress=progress,
            tell=untold if quiet else tell,
        )
    if images and not quiet:
        newer = any(image.newer for image in images)
        what = name.familiar_name if every else name.tagged().familiar
        status = "Downloaded newer image for" if newer else "Image is up to date for"
        click.echo(f"Status: {status} {what}", file=stream)
    return images
