"""``ferry inventory``."""

import sys

import click

from ferryman.errors import UsageError


@click.command("inventory")
@click.option("-o", "--output", "path", metavar="FILE", help="Write to a file, instead of STDOUT")
@click.option(
    "--from",
    "listing",
    metavar="FILE",
    help="Make it of what `docker image inspect` printed (- for STDIN)",
)
@click.option("--host", metavar="HOST", help="Of a host, by ssh: see `ferry move`")
@click.option("--sign", "key", metavar="KEY", help="Sign with this secret key of minisign")
def command(path: str | None, listing: str | None, host: str | None, key: str | None) -> None:
    """Say what the store has, in a file for `ferry save --base`.

    Where nothing can be installed, docker says it: docker image inspect $(docker image ls -q)
    """
    from ferryman.cli.stores import chosen_store
    from ferryman.operations import inventory, sealed
    from ferryman.operations.output import replacing
    from ferryman.store.durable import write_all
    from ferryman.transfer import place

    if key:
        if path is None:
            raise UsageError("--sign needs a file: use the -o flag")
        sealed.check_key(key)
    if listing and host:
        raise UsageError("--from and --host exclude each other")
    if host:
        content = inventory.of_host(place.parse(host))
    else:
        content = inventory.of_listing(listing) if listing else inventory.of_store(chosen_store())
    if path is None:
        sys.stdout.flush()
        write_all(sys.stdout.fileno(), content)
        return
    with replacing(path, "failed to write the inventory") as fd:
        write_all(fd, content)
    if key:
        sealed.sign(path, key)
