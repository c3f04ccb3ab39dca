"""``ferry attach``, ``ferry container attach``."""

import sys

import click

from ferryman.cli.flags.grammar import FlagCommand, switch
from ferryman.cli.stores import container_store


@click.command("attach", cls=FlagCommand, interspersed=True)
@click.option("--detach-keys", default="", metavar="KEYS", help="The keys that detach")
@switch("--no-stdin", "Do not attach STDIN")
@switch("--sig-proxy", "Proxy all received signals to the process", default=True)
@click.argument("name", metavar="CONTAINER")
def command(detach_keys: str, no_stdin: bool, sig_proxy: bool, name: str) -> int:
    """Attach local standard input, output, and error streams to a running container."""
    from ferryman.operations.attach import attach, running
    from ferryman.runtime import terminal
    from ferryman.runtime.attach import Streams

    keys = terminal.parse_keys(detach_keys)
    store = container_store()
    container, _ = running(store, name)
    if container.config.tty and not no_stdin:
        terminal.check(0)
    sys.stdout.flush()
    streams = Streams(None if no_stdin else 0, 1, 2)
    code = attach(store, container.id, streams, detach_keys=keys, proxy_signals=sig_proxy)
    return detached() if code is None else code


def detached() -> int:
    """Say that the user has typed the keys that detach, and return docker's exit code for it."""
    click.echo("read escape sequence", err=True)
    return 1
