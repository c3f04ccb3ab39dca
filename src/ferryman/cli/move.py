"""``ferry move``."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from ferryman.cli.progress import shown
from ferryman.cli.stores import chosen_store
from ferryman.cli.units import human_size
from ferryman.errors import UsageError

if TYPE_CHECKING:
    from ferryman.operations.move import Moved
    from ferryman.store.layout import Store
    from ferryman.transfer.plan import Plan

_ENGINES = ("docker", "podman", "nerdctl", "ctr", "ferry", "python", "sh")


@click.command("move")
@click.option("--via", type=click.Choice(_ENGINES), help="The engine there that takes the images")
@click.option("--dry-run", is_flag=True, help="Only show what would be sent")
@click.option("--json", "as_json", is_flag=True, help="Say what was done, or would be, as JSON")
@click.option("--limit", metavar="BYTES", help="Send no faster than this a second (10M)")
@click.option("--parallel", type=click.IntRange(1), default=8, show_default=True, metavar="N",
              help="Serve so many hosts at once")  # fmt: skip
@click.option("--no-delta", is_flag=True, help="Send whole layers, never differences of them")
@click.option("--timeout", type=click.IntRange(3), default=45, show_default=True,
              metavar="SECONDS", help="Give up a host that is silent so long")  # fmt: skip
@click.option("--hosts", "file", metavar="FILE", help="Move to the hosts that a file lists")
@click.option("--through", metavar="docker://REGISTRY|s3://BUCKET",
              help="Send once to a registry or bucket, from which the hosts have it")  # fmt: skip
@click.option("--from", "source", metavar="HOST", help="Bring the images from there to here")
@click.option("--platform", metavar="OS/ARCH", help="Move only the given platform")
@click.option("-q", "--quiet", is_flag=True, help="Suppress the progress output")
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE [IMAGE...] HOST [HOST...]")
def command(
    via: str | None,
    dry_run: bool,
    as_json: bool,
    limit: str | None,
    parallel: int,
    no_delta: bool,
    timeout: int,
    file: str | None,
    through: str | None,
    source: str | None,
    platform: str | None,
    quiet: bool,
    arguments: tuple[str, ...],
) -> int:
    """Bring images to other machines, sending only what each of them lacks.

    A HOST is ssh://[user@]host[:port], a name that ssh knows, docker-daemon: or context:NAME.
    """
    from ferryman.cli.flags.limits import memory
    from ferryman.image import platform as platforms
    from ferryman.operations import move
    from ferryman.operations.through import place as passing
    from ferryman.transfer import place

    store = chosen_store()
    if source:
        _bring_here(store, arguments, source, via or "", timeout, quiet)
        return 0
    names, hosts = _divided(store, arguments, file)
    options = move.Options(
        via or "",
        memory(limit) if limit else None,
        parallel,
        dry_run,
        not no_delta,
        timeout,
        passing(through) if through else None,
    )
    wanted = platforms.parse(platform) if platform else None
    with shown(quiet=quiet or as_json, on=sys.stderr) as progress:
        moved = move.move(
            store, names, [place.parse(h) for h in hosts], options, platform=wanted, tell=progress
        )
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in moved], indent=2))
    elif not quiet:
        _tell(moved, dry_run)
    # What is wrong with a bucket is so for all hosts: once.
    for error in dict.fromkeys(each.error for each in moved if each.error):
        click.echo(f"Error: {error}", err=True)
    return int(any(each.error for each in moved))


def _bring_here(
    store: "Store", names: tuple[str, ...], source: str, via: str, timeout: int, quiet: bool
) -> None:
    from ferryman.cli.load import tell
    from ferryman.operations.move_here import move_here
    from ferryman.transfer import place

    with shown(quiet=quiet) as progress:
        loaded = move_here(
            store, names, place.parse(source), via=via, silence=timeout, progress=progress
        )
    for image in loaded:
        tell(image)


def _divided(
    store: "Store", arguments: tuple[str, ...], file: str | None
) -> tuple[list[str], list[str]]:
    """Tell images from hosts: the first argument that is no image begins the hosts."""
    if file:
        return list(arguments), _listed(file)
    if len(arguments) < 2:
        raise click.UsageError("'ferry move' requires at least 2 arguments")
    from ferryman.errors import ImageNotFound, InvalidReference
    from ferryman.store.images import find

    names, hosts = [arguments[0]], [arguments[-1]]
    for i, argument in enumerate(arguments[1:-1], 1):
        try:
            find(store, argument)
        except (ImageNotFound, InvalidReference):
            return names, list(arguments[i:])
        names.append(argument)
    return names, hosts


def _listed(file: str) -> list[str]:
    """Return the hosts of a file, one a line; what begins with # is none."""
    try:
        with open(file, encoding="utf-8", errors="replace") as f:
            lines = [line.strip() for line in f]
    except OSError as e:
        raise UsageError(f"cannot read {file}: {e.strerror}") from None
    hosts = [line for line in lines if line and not line.startswith("#")]
    if not hosts:
        raise UsageError(f"{file} lists no hosts")
    return hosts


def _tell(moved: "list[Moved]", dry_run: bool) -> None:
    for each in moved:
        for plan in each.plans:
            click.echo(_said(each, plan, dry_run))
            if dry_run:
                for step in plan.steps:
                    state = "there" if step.there else "missing"
                    size = human_size(step.layer.size, 4)
                    click.echo(f"  {step.diff_id.short}  {size:>8}  {state}")
    if len(moved) > 1 and not dry_run:
        width = max(len("HOST"), *(len(each.host) for each in moved))
        click.echo(f"{'HOST':<{width}}  {'SENT':>8}  {'SECONDS':>7}  RESULT")
        for each in moved:
            result = "failed" if each.error else "done"
            sent = human_size(each.sent, 4)
            click.echo(f"{each.host:<{width}}  {sent:>8}  {each.seconds:7.1f}  {result}")


def _said(moved: "Moved", plan: "Plan", dry_run: bool) -> str:
    name = plan.image.names[0] if plan.image.names else plan.image.id
    if plan.way == "nothing":
        return f"{moved.host}: {name} is there already"
    layers = f"{len(plan.missing)} of {len(plan.steps)} layers, {human_size(plan.bytes, 4)}"
    if dry_run:
        return f"{moved.host}: {name} would go to {plan.engine} by {plan.way}: {layers}"
    return (
        f"{moved.host}: {name} is in {plan.engine} now: {layers}, {human_size(moved.sent, 4)} sent"
    )


def _as_json(moved: "Moved") -> dict[str, Any]:
    return {
        "Host": moved.host,
        "Sent": moved.sent,
        "Seconds": round(moved.seconds, 3),
        "Error": moved.error,
        "Images": [
            {
                "Id": str(plan.image.id),
                "Names": list(plan.image.names),
                "Engine": plan.engine,
                "Way": plan.way,
                "Bytes": plan.bytes,
                "Layers": [
                    {
                        "Digest": str(step.layer.digest),
                        "DiffId": str(step.diff_id),
                        "Size": step.layer.size,
                        "There": step.there,
                    }
                    for step in plan.steps
                ],
            }
            for plan in moved.plans
        ],
    }
