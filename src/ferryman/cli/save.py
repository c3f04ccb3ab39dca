"""``ferry save``."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from ferryman.cli.flags import referrers
from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.errors import InvalidFlag, UsageError
from ferryman.operations.progress import Progress
from ferryman.store.layout import Store

if TYPE_CHECKING:
    from ferryman.archive.write import Saved

_SMALLEST = 1 << 10


@click.command("save")
@click.option("-o", "--output", "path", metavar="FILE", help="Write to a file, instead of STDOUT")
@click.option("--platform", metavar="OS/ARCH", help="Save only the given platform")
@click.option(
    "--format",
    "form",
    type=click.Choice(["docker", "oci", "ferry"]),
    default="docker",
    show_default=True,
    help="docker: loads in every docker, podman and skopeo; oci: an image layout; "
    "ferry: binary deltas against what --base names, for ferry",
)
@click.option(
    "--compress",
    default="none",
    show_default=True,
    metavar="none|gzip|zstd[:LEVEL]",
    help="Compress the archive as a whole",
)
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Save what matches"
)
@click.option("--compose", metavar="FILE", help="Save all images of a compose project")
@click.option("-a", "--all", "every", is_flag=True, help="Save all images that have a name")
@click.option(
    "--base",
    "bases",
    multiple=True,
    metavar="IMAGE|ARCHIVE|INVENTORY",
    help="Leave out what is there already by this",
)
@click.option(
    "--split", metavar="SIZE", help="Write volumes of this size (700M, 4095M), and a list"
)
@click.option("--only", metavar="N[,N]", help="Write these volumes again, and no others")
@click.option("--sign", "key", metavar="KEY", help="Sign with this secret key of minisign")
@click.option(
    "--encrypt",
    "recipients",
    multiple=True,
    metavar="RECIPIENT",
    help="Encrypt with age, for a public key or a file of them",
)
@referrers.with_referrers
@click.option("-q", "--quiet", is_flag=True, help="Suppress the progress output")
@click.argument("names", nargs=-1, metavar="IMAGE [IMAGE...]")
def command(
    path: str | None,
    platform: str | None,
    form: str,
    compress: str,
    filters: tuple[str, ...],
    compose: str | None,
    every: bool,
    bases: tuple[str, ...],
    split: str | None,
    only: str | None,
    key: str | None,
    recipients: tuple[str, ...],
    with_referrers: bool,
    quiet: bool,
    names: tuple[str, ...],
) -> None:
    """Save one or more images to an archive (streamed to STDOUT by default)."""
    from ferryman.archive.compression import parse_choice
    from ferryman.image import platform as platforms
    from ferryman.operations import save
    from ferryman.operations.output import replacing

    parse_choice(compress)
    wanted = platforms.parse(platform) if platform else None
    if not (names or filters or compose or every):
        raise click.UsageError("'ferry save' requires at least 1 argument")
    path = path or None
    _check_output(path, split, only, key)
    if form == "ferry" and not bases:
        raise UsageError("--format ferry needs a --base to take the differences from")
    size, numbers = _size(split) if split else 0, _numbers(only) if only else []
    store = chosen_store()
    selected = _selected(store, names, filters, compose, every)
    with ExitStack() as stack:
        progress = stack.enter_context(shown(quiet=quiet or path is None, on=sys.stderr))
        images = stack.enter_context(
            save.chosen(store, selected, wanted, with_referrers=with_referrers)
        )
        if bases:
            images = stack.enter_context(_less(store, images, bases, form, progress))
        if path is None:
            fd = sys.stdout.fileno()
            save.save(store, images, fd, form=form, compress=compress, recipients=recipients)
        elif size:
            from ferryman.operations import split as volumes

            volumes.split(
                store,
                images,
                path,
                size,
                form=form,
                compress=compress,
                recipients=recipients,
                only=numbers,
                progress=progress,
            )
        else:
            with replacing(path, "failed to save image") as fd:
                save.save(
                    store,
                    images,
                    fd,
                    form=form,
                    compress=compress,
                    recipients=recipients,
                    progress=progress,
                )
    if key:
        from ferryman.operations import sealed

        sealed.sign(f"{path}.sha256" if size else str(path), key)


def _check_output(path: str | None, split: str | None, only: str | None, key: str | None) -> None:
    if path is None and sys.stdout.isatty():
        raise UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if path is None and (split or key):
        raise UsageError(f"--{'split' if split else 'sign'} needs a file: use the -o flag")
    if only and not split:
        raise UsageError("--only chooses among volumes: say their size by --split")
    if only and key:
        raise UsageError("--only leaves the list as it is: there is nothing to --sign")
    if key:
        from ferryman.operations import sealed

        sealed.check_key(key)


def _selected(
    store: Store,
    names: Sequence[str],
    filters: Sequence[str],
    compose: str | None,
    every: bool,
) -> list[str]:
    selected = list(names)
    if compose:
        from ferryman.operations.compose import image_names

        selected += image_names(compose)
    if filters or every:
        from ferryman.operations.listing import listed

        rows = listed(store, filters=filters)
        selected += [
            name
            for row in rows
            for name in (row.image.repo_tags or ([] if every and not filters else [row.image.id]))
        ]
        if not selected:
            raise UsageError("no image matches: nothing to save")
    return selected


@contextmanager
def _less(
    store: Store, images: "list[Saved]", bases: Sequence[str], form: str, progress: Progress
) -> "Iterator[list[Saved]]":
    """Give the images without what is there by the bases, in the form's own way."""
    from ferryman.operations.bases import known, without

    sites = known(store, bases)
    rest = without(store, images, sites)
    if form != "ferry":
        yield rest
        return
    from ferryman.operations.deltas import prepared

    with prepared(store, rest, sites, bases, progress=progress) as images:
        yield images


def _size(text: str) -> int:
    from ferryman.cli.flags.limits import memory

    try:
        size = memory(text)
    except ValueError as e:
        raise InvalidFlag(f"invalid size for --split: {e}") from None
    if size < _SMALLEST:
        raise UsageError(f"--split {text}: a volume has at least {_SMALLEST} bytes")
    return size


def _numbers(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(n.isascii() and n.isdigit() and int(n[:9]) > 0 for n in numbers):
        raise UsageError(f"--only {text}: expected numbers of volumes, as in 7 or 3,7")
    return [int(n[:9]) for n in numbers]
