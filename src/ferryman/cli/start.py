"""``ferry start``, ``ferry container start``."""

import sys

import click

from ferryman.cli.each import for_each
from ferryman.cli.stores import container_store
from ferryman.errors import UsageError


@click.command("start")
@click.option("-a", "--attach", is_flag=True, help="Attach STDOUT/STDERR and forward signals")
@click.option("-i", "--interactive", is_flag=True, help="Attach container's STDIN")
@click.option("--detach-keys", metavar="KEYS", help="The key sequence for detaching a container")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER [CONTAINER...]")
def command(
    attach: bool, interactive: bool, detach_keys: str | None, names: tuple[str, ...]
) -> int:
    """Start one or more stopped containers."""
    store = container_store()
    if not (attach or interactive):
        from ferryman.operations.start import start

        return for_each(names, lambda name: start(store, name))
    if len(names) > 1:
        raise UsageError("you cannot start and attach multiple containers at once")
    from ferryman.operations.run import run
    from ferryman.runtime import record, terminal
    from ferryman.runtime.attach import Streams
    from ferryman.runtime.finish import settled

    container = record.find(store, names[0])
    settled(store, container)
    sys.stdout.flush()
    stdin = 0 if interactive and container.config.open_stdin else None
    keys = terminal.parse_keys(detach_keys or "")
    code = run(store, container, Streams(stdin, 1, 2), detach_keys=keys)
    return code or 0
