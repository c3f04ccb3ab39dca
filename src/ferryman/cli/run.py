"""``ferry run``, ``ferry container run``."""

import sys

import click
from msgspec import structs

from ferryman.cli.creating import created, not_started
from ferryman.cli.flags.grammar import switch
from ferryman.cli.run_flags import Requested, container_command
from ferryman.cli.stores import container_store
from ferryman.errors import FerryError, InvalidFlag


@container_command("run")
@switch("-d --detach", "Run container in background and print its ID")
@click.option("--detach-keys", default="", metavar="KEYS", help="The keys that detach")
@switch("--sig-proxy", "Proxy received signals to the process", default=True)
def command(requested: Requested, detach: bool, detach_keys: str, sig_proxy: bool) -> int:
    """Create and run a new container from an image."""
    from ferryman.operations.run import run
    from ferryman.runtime import terminal
    from ferryman.runtime.attach import OutputFailed, Streams
    from ferryman.runtime.start import start

    if detach and requested.attach:
        raise InvalidFlag("conflicting options: cannot specify both --attach and --detach")
    config = requested.config
    stdin = not detach and config.attach_stdin
    if stdin and config.tty:
        terminal.check(0)
    keys = terminal.parse_keys(detach_keys)
    if detach:
        # Nobody is attached whose going could be the end of its input.
        apart = structs.replace(
            config, attach_stdin=False, attach_stdout=False, attach_stderr=False, stdin_once=False
        )
        requested = requested._replace(config=apart)
    store = container_store(first=True)
    container = created(store, requested)
    sys.stdout.flush()
    try:
        if detach:
            start(store, container)
            click.echo(container.id)
            return 0
        streams = Streams(
            0 if stdin else None,
            1 if config.attach_stdout else None,
            2 if config.attach_stderr else None,
        )
        code = run(store, container, streams, detach_keys=keys, proxy_signals=sig_proxy)
    except OutputFailed:
        raise  # it was started, and goes on
    except FerryError as e:
        raise not_started(store, container, e) from None
    return code or 0
